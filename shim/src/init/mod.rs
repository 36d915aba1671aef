//! The container's process: the web server, a command that asks it, a module that runs once, or
//! the process that holds a pod's namespaces.

mod module;
mod pause;

use std::ffi::OsString;
use std::process::ExitCode;

use ssr_server::ProgramFiles;

use crate::compile::handover;
use crate::logger;

/// The first argument of the container's process, which `docker top` shows and by which this
/// binary recognizes itself as one. The colon tells it from the command-line tool.
pub const NAME: &str = "ssr:";
/// Serves a module and a directory of assets.
pub const SERVE: &str = "serve";
/// Precedes a module that is served by programs, which have the container's files.
pub const WITH_FILES: &str = "--with-files";
/// Runs a module that is a command.
pub const RUN: &str = "run";
/// Precedes the name by which the command was called, if that is not its path.
pub const AS: &str = "--as";
/// Holds the namespaces of a pod; see [`pause`].
pub const PAUSE: &str = "pause";
/// Asks the server in this container whether it is healthy.
const HEALTH: &str = "health";

/// Exit code for invalid arguments (EX_USAGE).
const USAGE: u8 = 64;
/// Exit code for a failure of our own (EX_SOFTWARE).
const FAILED: u8 = 70;

/// Runs a command; `args` are without the program's name.
pub fn main(args: &[OsString]) -> ExitCode {
    // First: it needs no log and no other thread, and every pod has one.
    if args.first().is_some_and(|command| command == PAUSE) {
        return pause::main();
    }
    if let Err(error) = logger::to_stderr() {
        eprintln!("ssr: cannot start a thread ({error}): the container's pids limit may be too low");
        return FAILED.into();
    }
    // By default it would be the number of the descriptor that was executed.
    let _ = nix::sys::prctl::set_name(c"ssr");
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let env: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let code = match args.split_first() {
        Some((command, args)) if command == SERVE => {
            leave_orphans_to_the_kernel();
            let (args, files) = match args {
                [option, args @ ..] if option == WITH_FILES => (args, module::files_of_programs()),
                _ => (args, ProgramFiles::default()),
            };
            ssr_server::run(args, &env, handover::code_source(), files)
        }
        Some((command, args)) if command == RUN => module::run(args, env),
        Some((command, args)) if command == HEALTH => ssr_server::probe::run(args, &env),
        other => {
            let command = other.map_or("nothing", |(command, _)| command);
            eprintln!("ssr: unknown command '{command}'; a site's container has `ssr health`");
            USAGE
        }
    };
    log::logger().flush();
    code.into()
}

/// The first process of a PID namespace inherits the orphans of others in it, as those of a
/// container with `--pid container:SITE`. The kernel reaps children of who ignores this
/// signal; the server has none of its own.
fn leave_orphans_to_the_kernel() {
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}
