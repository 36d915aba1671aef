//! `ssr inspect`: what a module is.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use ssr_wasm::carried::parts::Parts;
use ssr_wasm::code_source;
use ssr_wasm::detect::{self, Kind};
use ssr_wasm::own_engines;
use ssr_wasm::text;

use crate::cache::list::{Size, plain};

/// Which module to look at.
#[derive(Args)]
pub struct InspectArgs {
    /// The module
    #[arg(value_name = "FILE")]
    module: PathBuf,
}

/// Prints what the module is.
///
/// # Errors
/// If it cannot be read, or is none that runs here.
pub fn run(args: &InspectArgs) -> Result<()> {
    let name = args.module.display();
    let path = args.module.to_str().context("the module's path is not UTF-8")?;
    let module = text::whole(&code_source::open(path)?).with_context(|| format!("cannot read '{name}'"))?;
    let kind = detect::check(&module).map_err(|reason| anyhow!("the module '{name}': {reason}"))?;
    let what = match &kind {
        Kind::Site(site) => {
            format!("a site, built by ssr {} (render ABI {})", plain(&site.built_by), site.abi)
        }
        Kind::Command => "a program, or a library of functions".to_owned(),
        Kind::CommandComponent => "a program, as a component".to_owned(),
        Kind::Handler => "a component that answers HTTP requests".to_owned(),
    };
    println!("kind      {what}");
    println!("size      {}", Size(module.len() as u64));
    if let (Kind::Site(_), Some(parts)) = (&kind, Parts::of(&module)) {
        let digest = parts.digest();
        let how = match own_engines::of_site(own_engines::all(), &parts) {
            Some(engine) => format!(
                "of release {}, whose machine code for {} this program carries: nothing is compiled",
                engine.version(),
                engine.target()
            ),
            None => "this program does not carry its machine code: it is compiled once per node".to_owned(),
        };
        println!("engine    {digest}");
        println!("          {how}");
        println!("code      {}", Size(parts.code_size() as u64));
        println!("data      {}", Size(parts.data_size() as u64));
        println!("memory    {} at first", Size(parts.limits().0 << 16));
    }
    if !kind.is_component() {
        let names: Vec<_> = detect::exports(&module).iter().map(|name| plain(name)).collect();
        println!("exports   {}", names.join(", "));
    }
    Ok(())
}
