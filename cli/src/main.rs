//! `ssr`: builds, serves and packs server-rendered websites.

mod build;
mod cache;
mod image;
mod progress;
mod serve;
mod snapshot;
mod stack_trace;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use log::{Level, LevelFilter};
use ssr_server::log_buffer::LogBuffer;

/// How long what is still to be logged at the end may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Server-rendered websites as WebAssembly.
#[derive(Parser)]
#[command(name = "ssr", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a module of a site's server bundle
    Build(build::BuildArgs),
    /// Serve a site here, without any container engine
    Serve(serve::ServeArgs),
    /// Pack a module and its assets as an OCI image archive
    Image(image::ImageArgs),
    /// Look after the compiled code that a node keeps
    Cache(cache::CacheArgs),
}

fn main() -> ExitCode {
    ssr_server::resident::use_one_heap();
    let log = match start_logging() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("ssr: cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = run(&log);
    log.flush_within(LAST_LINES);
    code
}

fn run(log: &LogBuffer) -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => build::run(&args),
        Command::Serve(args) => {
            return match serve::run(&args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    // After what was said before.
                    log.push(format!("ssr: {error}\n").as_bytes());
                    ExitCode::from(error.exit_code())
                }
            };
        }
        Command::Image(args) => image::run(args),
        Command::Cache(args) => cache::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ssr: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines for people, as a container has them. How much is said is set by
/// `SSR_LOG` when a site is served; libraries are heard from warnings on.
fn start_logging() -> std::io::Result<LogBuffer> {
    let log = LogBuffer::to_stderr()?;
    env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(log.clone())))
        .filter_level(LevelFilter::Warn)
        .filter_module("ssr", LevelFilter::Debug)
        .filter_module("ssr_server", LevelFilter::Debug)
        .format(|out, record| match record.level() {
            Level::Info => writeln!(out, "{}", record.args()),
            level => writeln!(out, "{}: {}", level.as_str().to_lowercase(), record.args()),
        })
        .init();
    log::set_max_level(LevelFilter::Info);
    Ok(log)
}
