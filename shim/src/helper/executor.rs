//! The container's process just before it executes its program: in its namespaces,
//! without its privileges, still a copy of the helper.

use std::ffi::{CStr, CString};
use std::io::Write;

use libcontainer::oci_spec::runtime::{LinuxSeccomp, Spec};
use libcontainer::seccomp;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::fcntl::AtFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

use super::inherited_fds::{self, SELF_EXE};
use crate::init;
use crate::oci::entrypoint::Entrypoint;

/// Exit code for a program that cannot be executed, as in shells.
const NOT_EXECUTABLE: i32 = 126;

/// Precedes our own error messages, so that they can be told from those that libcontainer
/// puts in front of them; see [`super::error_chain::error_chain`].
pub const OWN_ERROR: &str = "ssr: ";

/// Executes what the container's arguments ask for.
#[derive(Clone)]
pub enum EntrypointExecutor {
    /// The container's first process.
    Init,
    /// A process added by exec, with the container's seccomp filter, which libcontainer
    /// leaves to the executor to install.
    Exec(Option<LinuxSeccomp>),
}

impl Executor for EntrypointExecutor {
    /// Runs before the container counts as created, so that an error is the answer to the
    /// request to create it.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let refused = |reason| ExecutorValidationError::ArgValidationError(format!("{OWN_ERROR}{reason}"));
        let entrypoint = find(spec).map_err(refused)?;
        if let Entrypoint::Module(_) = entrypoint {
            // The kernel drops signals that a namespace's first process has no handler for.
            // The server unblocks these once it has handlers.
            mask(&[Signal::SIGTERM, Signal::SIGINT]);
        }
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let entrypoint = find(spec).map_err(ExecutorError::Other)?;
        if let Self::Exec(Some(filter)) = self {
            install(filter)?;
        }
        if let Entrypoint::Program(_) = entrypoint {
            mask(&[]);
        }
        reset_signals();
        let error = execute(spec, &entrypoint);
        let message = format!("cannot execute '{}': {error}", arguments(spec)[0]);
        if let Self::Exec(_) = self {
            return Err(ExecutorError::Other(format!("{OWN_ERROR}{message}")));
        }
        // The request to start has been answered already: this is for the container's log.
        let _ = writeln!(std::io::stderr(), "ssr: {message}");
        std::process::exit(NOT_EXECUTABLE);
    }
}

fn find(spec: &Spec) -> Result<Entrypoint, String> {
    let process = spec.process().as_ref();
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    Entrypoint::find(arguments(spec), path).map_err(|unusable| unusable.to_string())
}

fn arguments(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default()
}

/// Returns only on failure.
fn execute(spec: &Spec, entrypoint: &Entrypoint) -> nix::Error {
    let own = |command: Option<&str>, args: &[String]| {
        let args = [init::NAME].into_iter().chain(command).chain(args.iter().map(String::as_str));
        let args: Vec<CString> = args.map(c_string).collect();
        unistd::execveat(Some(SELF_EXE), c"", &args, &environment(), AtFlags::AT_EMPTY_PATH)
    };
    let result = match entrypoint {
        Entrypoint::Module(args) => {
            inherited_fds::keep_code_socket().and_then(|()| own(Some(init::SERVE), args))
        }
        Entrypoint::BuiltIn(args) => own(None, args),
        Entrypoint::Program(file) => {
            let args: Vec<CString> = arguments(spec).iter().map(|arg| c_string(arg)).collect();
            let file = c_string(&file.to_string_lossy());
            unistd::execve::<CString, CString>(&file, &args, &environment())
        }
    };
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// An unprivileged process can install a filter only if it can never gain privileges.
fn install(filter: &LinuxSeccomp) -> Result<(), ExecutorError> {
    // SAFETY: takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(ExecutorError::Other(format!("no_new_privs: {}", std::io::Error::last_os_error())));
    }
    seccomp::initialize_seccomp(filter)
        .map(|_| ())
        .map_err(|error| ExecutorError::Other(format!("cannot install the seccomp filter: {error}")))
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
fn mask(signals: &[Signal]) {
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
fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().take_while(|&byte| byte != 0).chain([0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(CStr::to_owned).unwrap_or_default()
}
