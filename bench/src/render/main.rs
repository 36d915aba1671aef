//! `bench-render`: processor time per page, in microseconds, for the same server
//! bundle in our module, in native QuickJS, in Node and other peers. Built for a 32-bit
//! machine, it measures what such a machine runs.
//!
//! The renderers take turns within each round. The table shows the median over the
//! rounds and its ratio to native QuickJS. Processor time is measured instead of
//! elapsed time, so that other work on the machine matters less.

mod native;
mod peer;
mod renderer;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ssr_bench::median;
use ssr_wasm::interrupt::Interruption;

use native::Native;
use peer::Peer;
use renderer::Renderer;
use wasm::Wasm;

/// Measures renders and prints a Markdown table.
#[derive(Parser)]
struct Args {
    /// The module, built by `ssr build`
    #[arg(long)]
    wasm: PathBuf,
    /// The engine's module, of which `ssr build` made the site's
    #[arg(long)]
    engine: PathBuf,
    /// The module of another version of `ssr build`, from the same bundle: adds a column
    #[arg(long, value_name = "LABEL=FILE", value_parser = labelled)]
    compare: Vec<(String, PathBuf)>,
    /// A program that renders the module's pages, told how by lines of JSON (peer.rs): adds a column
    #[arg(long, value_name = "LABEL=PROGRAM", value_parser = labelled)]
    peer: Vec<(String, PathBuf)>,
    /// The server bundle that the modules were built from
    #[arg(long)]
    entry: PathBuf,
    /// The page template that they were built with
    #[arg(long)]
    template: PathBuf,
    /// Paths of the pages
    #[arg(required = true)]
    pages: Vec<String>,
    /// Measured rounds
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Renders of each page per round
    #[arg(long, default_value_t = 100)]
    renders: usize,
}

fn labelled(argument: &str) -> Result<(String, PathBuf), String> {
    let (label, file) = argument.split_once('=').ok_or("expected LABEL=FILE")?;
    Ok((label.to_owned(), file.into()))
}

/// One row of the table.
struct Row<'a> {
    page: &'a str,
    size: usize,
    /// Microseconds, one per renderer.
    times: Vec<f64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (names, mut renderers): (Vec<_>, Vec<_>) = renderers(&args)?.into_iter().unzip();
    let rows = args.pages.iter().map(|page| measure(page, &mut renderers, &args));
    print_table(&names, &rows.collect::<Result<Vec<_>>>()?);
    Ok(())
}

fn renderers(args: &Args) -> Result<Vec<(String, Box<dyn Renderer>)>> {
    let wasm = read(&args.wasm)?;
    let native = Native::new(&read(&args.entry)?, &read(&args.template)?)?;
    let mut renderers: Vec<(String, Box<dyn Renderer>)> = vec![
        ("native QuickJS".to_owned(), Box::new(native)),
        ("ours".to_owned(), Box::new(Wasm::on_own_engine(&wasm, &read(&args.engine)?)?)),
    ];
    match cfg!(target_pointer_width = "32") {
        true => {
            let bytecode = Wasm::new(&wasm, Interruption::Epoch)?;
            renderers.push(("ours, on wasmtime's bytecode".to_owned(), Box::new(bytecode)));
        }
        false => renderers.extend(compiled_here(&wasm)?),
    }
    for (label, file) in &args.compare {
        let other = Wasm::new(&read(file)?, Interruption::Signal).with_context(|| label.clone())?;
        renderers.push((label.clone(), Box::new(other)));
    }
    renderers.push(("Node".to_owned(), Box::new(Peer::node(&args.entry, &args.template)?)));
    for (label, program) in &args.peer {
        let mut peer = Command::new(program);
        peer.arg(&args.wasm);
        renderers.push((label.clone(), Box::new(Peer::start(peer)?)));
    }
    Ok(renderers)
}

/// What our module takes when wasmtime compiles it as a whole, with each way to end loops.
fn compiled_here(wasm: &[u8]) -> Result<Vec<(String, Box<dyn Renderer>)>> {
    let mut renderers: Vec<(String, Box<dyn Renderer>)> = Vec::new();
    for (label, interruption) in [
        ("ours, compiled for this processor", Interruption::Signal),
        ("ours, by epochs", Interruption::Epoch),
        ("ours, no time limit", Interruption::None),
    ] {
        renderers.push((label.to_owned(), Box::new(Wasm::new(wasm, interruption)?)));
    }
    Ok(renderers)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn measure<'a>(page: &'a str, renderers: &mut [Box<dyn Renderer>], args: &Args) -> Result<Row<'a>> {
    // The first round only warms up, and shows whether all render the same page.
    let warm_up = renderers.iter_mut().map(|renderer| Ok(renderer.render(page, args.renders)?.1));
    let sizes = warm_up.collect::<Result<Vec<_>>>()?;
    let size = *sizes.first().context("a renderer")?;
    ensure!(
        sizes.iter().all(|other| *other == size),
        "{page}: the renderers made pages of different sizes: {sizes:?}"
    );
    let mut times = vec![Vec::new(); renderers.len()];
    for _ in 0..args.rounds {
        for (renderer, times) in renderers.iter_mut().zip(&mut times) {
            times.push(renderer.render(page, args.renders)?.0);
        }
    }
    Ok(Row { page, size, times: times.into_iter().map(median).collect() })
}

fn print_table(names: &[String], rows: &[Row]) {
    println!("| page | bytes | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(names.len()));
    for Row { page, size, times } in rows {
        let cells: Vec<String> =
            times.iter().map(|time| format!("{time:.0} ({:.2}×)", time / times[0])).collect();
        println!("| `{page}` | {size} | {} |", cells.join(" | "));
    }
}
