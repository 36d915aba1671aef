//! What a container costs around its requests: the time until it answers, the
//! memory of one, of its replicas and of many. Ours, the stock lifecycle with the
//! same server and with another, and ordinary Linux servers in runc, taking turns
//! under one containerd.

mod contestant;
mod crowd;
mod memory;
mod rootfs;
mod stage;
mod starts;
mod wasm_image;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use ssr_server::settings::Settings;
use ssr_server::time_limit::Interruption;

use stage::Stage;

/// Measures the life of containers and prints Markdown tables.
#[derive(Parser)]
struct Args {
    /// The site's image
    #[arg(long)]
    image: PathBuf,
    /// The name that it has
    #[arg(long, default_value = "docker.io/library/site:latest")]
    name: String,
    /// The site's module
    #[arg(long)]
    module: PathBuf,
    /// The bundle that it was made of
    #[arg(long)]
    entry: PathBuf,
    /// The site's directory of assets
    #[arg(long)]
    assets: PathBuf,
    /// Our server as a Linux program
    #[arg(long)]
    server: PathBuf,
    /// The component that the stock runner serves
    #[arg(long)]
    hello: PathBuf,
    /// nginx's program
    #[arg(long)]
    nginx: PathBuf,
    /// Paths of pages that are the same for everyone
    #[arg(required = true)]
    pages: Vec<String>,
    /// Rounds of starts, of which the median counts
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Rounds of one container and its replicas, of which the median counts
    #[arg(long, default_value_t = 3)]
    memory_rounds: usize,
    /// Containers at once
    #[arg(long, default_value_t = 50)]
    crowd: usize,
}

/// Nothing but compiling a module.
#[derive(Parser)]
struct CompileArgs {
    module: PathBuf,
}

const COMPILE: &str = "compile";

fn main() -> Result<()> {
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == COMPILE) {
        words.remove(1);
        return compile(&CompileArgs::parse_from(words));
    }
    let args = Args::parse();
    let stage = Stage::new(&args)?;
    let contestants = contestant::all(&args, &stage)?;
    starts::measure(&stage, &contestants, &args)?;
    memory::measure(&stage, &contestants, &args)?;
    crowd::measure(&stage, &contestants, &args)?;
    stage.assert_clean();
    Ok(())
}

/// As the server does it where it finds no code.
fn compile(args: &CompileArgs) -> Result<()> {
    let module = std::fs::read(&args.module).with_context(|| args.module.display().to_string())?;
    let engine = ssr_server::engine::engine(&Settings::default(), Interruption::cheapest());
    let compiled = engine.and_then(|engine| engine.precompile_module(&module));
    compiled.map(drop).map_err(|error| anyhow!("{error:#}"))
}

/// The seconds that a process takes which only compiles.
fn compile_time(args: &Args) -> Result<f64> {
    let start = Instant::now();
    stage::run(Command::new(std::env::current_exe()?).arg(COMPILE).arg(&args.module))?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
