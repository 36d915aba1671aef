//! `ssr`: builds, serves and packs server-rendered websites, and runs WebAssembly programs. Called
//! as `containerd-shim-ssr-v1`, the same program is containerd's shim: most of it is what both
//! need.

mod build;
mod cache;
mod engine;
mod image;
mod image_archive;
mod inspect;
mod node;
mod output;
mod packaging;
mod progress;
mod push;
mod run;
mod serve;
mod user_code;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use log::{Level, LevelFilter};
use ssr_server::log_buffer::LogBuffer;

/// How long writing the remaining log lines may take at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Server-rendered websites as WebAssembly.
#[derive(Parser)]
#[command(name = "ssr", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a WebAssembly module from a site's server bundle
    Build(build::BuildArgs),
    /// Serve a site on this machine, without a container engine
    Serve(serve::ServeArgs),
    /// Run a WebAssembly program on this machine, without a container engine
    Run(run::RunArgs),
    /// Pack a module and its assets into an OCI image archive
    Image(image::ImageArgs),
    /// Send an image archive to a registry
    Push(push::PushArgs),
    /// Tell what a module is
    Inspect(inspect::InspectArgs),
    /// Manage the compiled code kept on a node
    Cache(cache::CacheArgs),
    /// Make this machine able to run sites as containers
    Node(node::NodeArgs),
    /// Put compiled engines into programs: a step of building a release
    #[command(hide = true)]
    Engine(engine::EngineArgs),
    /// Compile a module for this machine, for `ssr serve` and `ssr run`
    #[command(hide = true)]
    Compile(user_code::compiler::CompileArgs),
    /// Print a completion script for a shell
    Completions(packaging::CompletionsArgs),
    /// Print the man page, or write the pages of all commands
    Man(packaging::ManArgs),
}

fn main() -> ExitCode {
    ssr_wasm::memory_trim::use_single_arena();
    let args: Vec<OsString> = std::env::args_os().collect();
    if containerd_shim_ssr::is_called(&args) {
        return containerd_shim_ssr::main(&args);
    }
    let log = match start_logging() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("ssr: cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = run(&log);
    log.flush_within(FLUSH_TIMEOUT);
    code
}

fn run(log: &LogBuffer) -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => build::run(&args),
        Command::Serve(args) => {
            return match serve::run(&args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    // Through the log, so that it follows the lines logged before.
                    log.push(format!("ssr: {error}\n").as_bytes());
                    ExitCode::from(error.exit_code)
                }
            };
        }
        Command::Run(args) => {
            return run::run(args).unwrap_or_else(|error| {
                eprintln!("ssr: {error:#}");
                ExitCode::FAILURE
            });
        }
        Command::Image(args) => image::run(args),
        Command::Push(args) => push::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Cache(args) => cache::run(args),
        Command::Node(args) => {
            return node::run(args).unwrap_or_else(|error| {
                eprintln!("ssr: {error:#}");
                ExitCode::FAILURE
            });
        }
        Command::Engine(args) => engine::run(&args),
        Command::Compile(args) => return user_code::compiler::run(&args),
        Command::Completions(args) => packaging::completions(&args, Cli::command()),
        Command::Man(args) => packaging::man(&args, Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ssr: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, as a container does. `SSR_LOG_LEVEL` sets the level
/// when a site is served; dependencies log warnings and errors only.
fn start_logging() -> std::io::Result<LogBuffer> {
    let log = LogBuffer::to_stderr()?;
    let mut logger = env_logger::Builder::new();
    logger.target(env_logger::Target::Pipe(Box::new(log.clone()))).filter_level(LevelFilter::Warn);
    for own in ["ssr", "ssr_wasm", "ssr_code_cache", "ssr_server"] {
        logger.filter_module(own, LevelFilter::Debug);
    }
    logger
        .format(|out, record| match record.level() {
            Level::Info => writeln!(out, "{}", record.args()),
            level => writeln!(out, "{}: {}", level.as_str().to_lowercase(), record.args()),
        })
        .init();
    log::set_max_level(LevelFilter::Info);
    Ok(log)
}
