//! A container's process just before it executes our own binary: in its namespaces,
//! without its privileges, still a copy of the helper.
//!
//! Nothing else is ever executed here: Linux programs are the node's OCI runtime's.

use std::ffi::{CStr, CString};
use std::io::Write;

use anyhow::anyhow;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::fcntl::AtFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;
use ssr_server::STOP_SIGNALS;

use super::inherited_fds::{self, SELF_EXE};
use crate::init;
use crate::oci::container_kind::{arguments, environment_of, path_variable};
use crate::oci::entrypoint::{Entrypoint, OwnFiles};
use crate::oci::own_process;

/// Exit code for a program that cannot be executed, as in shells.
const NOT_EXECUTABLE: i32 = 126;

/// Precedes our own error messages, so that they can be told from those that libcontainer
/// puts in front of them; see [`super::error_chain::error_chain`].
pub const OWN_ERROR: &str = "ssr: ";

/// What our binary is to do as a container's first process.
#[derive(Clone)]
pub enum OwnExecutor {
    /// What the container's arguments ask for.
    Site,
    /// Hold a pod's namespaces.
    Pause,
}

impl OwnExecutor {
    /// The arguments of our binary, without its name.
    fn arguments(&self, spec: &Spec) -> Result<Vec<String>, String> {
        match self {
            Self::Pause => Ok(vec![init::PAUSE.to_owned()]),
            Self::Site => own_arguments(spec).map_err(|error| error.to_string()),
        }
    }
}

impl Executor for OwnExecutor {
    /// Runs before the container counts as created, so that an error is the answer to the
    /// request to create it.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let refused = |reason| ExecutorValidationError::ArgValidationError(format!("{OWN_ERROR}{reason}"));
        self.arguments(spec).map_err(refused)?;
        // The kernel drops signals that a namespace's first process has no handler for. Our
        // binary unblocks these, or waits for them, once it is ready.
        let signals = STOP_SIGNALS.into_iter().filter_map(|number| Signal::try_from(number).ok());
        mask(&signals.collect::<Vec<_>>());
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let arguments = self.arguments(spec).map_err(ExecutorError::Other)?;
        let error = own_process::set_selinux_label(spec)
            .err()
            .unwrap_or_else(|| anyhow!("{}", execute(&arguments, &environment())));
        // The request to start has been answered already: this is for the container's log.
        let _ = writeln!(std::io::stderr(), "ssr: cannot execute the server: {error:#}");
        std::process::exit(NOT_EXECUTABLE);
    }
}

/// The arguments of our binary for what the container's arguments ask for, seen from
/// within the container.
///
/// # Errors
/// If they ask for a Linux program, or for nothing.
pub fn own_arguments(spec: &Spec) -> anyhow::Result<Vec<String>> {
    let args = arguments(spec);
    match Entrypoint::find(args, path_variable(spec), &OwnFiles) {
        Ok(Entrypoint::Module(module)) => {
            let (file, _) = ssr_server::split_function(&module[0]);
            let (called, _) = ssr_server::split_function(&args[0]);
            let command: &[&str] = if ssr_server::serves_programs(file, &variables(spec)) {
                &[init::SERVE, init::WITH_FILES]
            } else if !ssr_server::is_command(file) {
                // What cannot be read is for our binary to complain about, in the container's log.
                &[init::SERVE]
            } else if called == file {
                &[init::RUN]
            } else {
                &[init::RUN, init::AS, called]
            };
            Ok(command.iter().copied().map(str::to_owned).chain(module).collect())
        }
        Ok(Entrypoint::BuiltIn(args)) => Ok(args),
        Ok(Entrypoint::Program(file)) => {
            Err(anyhow!("'{}' is a Linux program, which a site's container does not run", file.display()))
        }
        Err(unusable) => Err(anyhow!("{unusable}")),
    }
}

/// The container's environment, by names and values.
fn variables(spec: &Spec) -> Vec<(String, String)> {
    let pairs = environment_of(spec).filter_map(|variable| variable.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether our binary gives the image's files to a program.
fn needs_image(arguments: &[String]) -> bool {
    match arguments {
        [command, ..] if command == init::RUN => true,
        [command, option, ..] => command == init::SERVE && option == init::WITH_FILES,
        _ => false,
    }
}

/// Whether our binary will ask for a module's code.
pub fn asks_for_code(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|command| [init::SERVE, init::RUN].contains(&command.as_str()))
}

/// Executes our binary; returns only on failure. Signals are at their defaults then, except
/// that a server's first signals stay blocked.
pub fn execute(arguments: &[String], environment: &[CString]) -> nix::Error {
    reset_signals();
    let args = [init::NAME].into_iter().chain(arguments.iter().map(String::as_str));
    let args: Vec<CString> = args.map(c_string).collect();
    let kept = match asks_for_code(arguments) {
        true => inherited_fds::keep_code_socket(),
        false => Ok(()),
    };
    let kept = match needs_image(arguments) {
        true => kept.and_then(|()| inherited_fds::keep_image()),
        false => kept,
    };
    let executed =
        kept.and_then(|()| unistd::execveat(Some(SELF_EXE), c"", &args, environment, AtFlags::AT_EMPTY_PATH));
    match executed {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Resets all signals to their defaults: ignored ones would stay ignored across exec, and
/// both the shim and Rust's runtime ignore some.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: installs no handler. Invalid signal numbers are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Blocks these signals, and no others.
pub fn mask(signals: &[Signal]) {
    let set: SigSet = signals.iter().copied().collect();
    // Fails only for invalid arguments.
    let _ = set.thread_set_mask();
}

/// The environment that libcontainer has set up from the specification.
fn environment() -> Vec<CString> {
    use std::os::unix::ffi::OsStrExt;
    std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .filter_map(|variable| CString::new(variable).ok())
        .collect()
}

/// The text up to its first null byte; arguments have none.
pub fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().take_while(|&byte| byte != 0).chain([0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(CStr::to_owned).unwrap_or_default()
}
