//! Compiling a module and nothing else: the lower bound for a start that compiles.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use ssr_wasm::engine;
use ssr_wasm::interrupt::Interruption;
use ssr_wasm::limits::DEFAULT_RENDER_MEMORY_LIMIT;
use ssr_wasm::target::Target;

use crate::command::run;

/// The first argument that makes this program only compile.
pub const COMMAND: &str = "compile";

/// Compiles a module as the server does when it finds no compiled code.
pub fn compile(module: &Path) -> Result<()> {
    let bytes = std::fs::read(module).with_context(|| module.display().to_string())?;
    let engine = engine::for_compiling(
        Target::Host,
        engine::Form::Module,
        Interruption::cheapest(),
        DEFAULT_RENDER_MEMORY_LIMIT,
    );
    let compiled = engine.and_then(|engine| engine.precompile_module(&bytes));
    compiled.map(drop).map_err(|error| anyhow!("{error:#}"))
}

/// The seconds that a process takes to start, compile a module and exit.
pub fn time(module: &Path) -> Result<f64> {
    let start = Instant::now();
    run(Command::new(std::env::current_exe()?).arg(COMMAND).arg(module))?;
    Ok(start.elapsed().as_secs_f64())
}
