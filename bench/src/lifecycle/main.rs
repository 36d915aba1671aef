//! `bench-lifecycle`: what a container costs apart from its requests: the time until
//! it answers, and the memory of one container, of its replicas and of many.
//!
//! Compares our shim, the stock lifecycle with our server and with another one, and
//! ordinary Linux servers in runc. They take turns under one containerd.

mod args;
mod command;
mod compile;
mod contestant;
mod lineup;
mod stage;
mod tables;

use anyhow::Result;
use clap::Parser as _;

use args::{Args, CompileArgs, ComponentArgs, SiteArgs};
use stage::Stage;

/// The argument that compares components alone.
const COMPONENTS: &str = "components";

/// The argument that only starts many sites.
const SITES: &str = "sites";

fn main() -> Result<()> {
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == compile::COMMAND) {
        words.remove(1);
        return compile::compile(&CompileArgs::parse_from(words).module);
    }
    if words.get(1).is_some_and(|word| word == COMPONENTS) {
        words.remove(1);
        return compare_components(&ComponentArgs::parse_from(words));
    }
    if words.get(1).is_some_and(|word| word == SITES) {
        words.remove(1);
        return start_many_sites(&SiteArgs::parse_from(words));
    }
    let args = Args::parse();
    let stage = Stage::new(args.site.pages.clone())?;
    // Said before the stage is cleared: that complains about what is left.
    measure_all(&stage, &args).inspect_err(|error| eprintln!("bench: {error:#}"))?;
    stage.assert_clean();
    Ok(())
}

fn measure_all(stage: &Stage, args: &Args) -> Result<()> {
    let contestants = lineup::all(args, stage)?;
    tables::starts::measure(stage, &contestants, args)?;
    tables::memory::measure(stage, &contestants, args)?;
    tables::crowd::measure(stage, &contestants, args)?;
    measure_many_sites(stage, &args.site)
}

fn compare_components(args: &ComponentArgs) -> Result<()> {
    let stage = Stage::new(vec!["/".to_owned()])?;
    let contestants = lineup::components(args, &stage)?;
    tables::requests::measure(&stage, &contestants, args.rounds)?;
    stage.assert_clean();
    Ok(())
}

fn start_many_sites(args: &SiteArgs) -> Result<()> {
    let stage = Stage::new(args.pages.clone())?;
    stage.import(&args.image)?;
    measure_many_sites(&stage, args)?;
    stage.assert_clean();
    Ok(())
}

fn measure_many_sites(stage: &Stage, args: &SiteArgs) -> Result<()> {
    tables::sites::measure(stage, &lineup::sites::one(args), &lineup::sites::many(args, stage)?)
}
