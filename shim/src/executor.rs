//! The container's process, in the moment before it becomes what it runs: in its
//! namespaces, without its privileges, still a copy of the runtime.

use std::ffi::{CStr, CString};
use std::io::Write;

use libcontainer::oci_spec::runtime::{LinuxSeccomp, Spec};
use libcontainer::seccomp;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::fcntl::AtFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

use crate::code_provider;
use crate::entrypoint::Entrypoint;
use crate::guest;
use crate::own_binary;

/// Exit code of a program that could not be executed, as shells have it.
const NOT_EXECUTABLE: i32 = 126;

/// Begins what is said of the container's arguments. libcontainer puts sentences
/// of its own in front; see `crate::runtime`.
pub const REFUSED: &str = "ssr: ";

/// Executes what the container's arguments ask for.
#[derive(Clone)]
pub enum EntrypointExecutor {
    /// The container's first process.
    Init,
    /// A further one. libcontainer leaves the container's seccomp filter, which is
    /// held here, to us.
    Further(Option<LinuxSeccomp>),
}

impl Executor for EntrypointExecutor {
    /// Runs before the container counts as created, so that what is found wrong
    /// is the answer to the request to create it.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let refused = |reason| ExecutorValidationError::ArgValidationError(format!("{REFUSED}{reason}"));
        let entrypoint = find(spec).map_err(refused)?;
        if let Entrypoint::Module(_) = entrypoint {
            // The kernel drops what a namespace's first process has no handler for. The
            // server takes these when it has one (`ssr_server::serve`).
            mask(&[Signal::SIGTERM, Signal::SIGINT]);
        }
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let entrypoint = find(spec).map_err(ExecutorError::Other)?;
        if let Self::Further(Some(filter)) = self {
            install(filter)?;
        }
        if let Entrypoint::Program(_) = entrypoint {
            mask(&[]);
        }
        reset_signals();
        let error = execute(spec, &entrypoint);
        let message = format!("cannot execute '{}': {error}", arguments(spec)[0]);
        if let Self::Further(_) = self {
            return Err(ExecutorError::Other(format!("{REFUSED}{message}")));
        }
        // Whoever asked for the start has had the answer: this is for the container's log.
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

/// Returns only if it fails.
fn execute(spec: &Spec, entrypoint: &Entrypoint) -> nix::Error {
    let own = |command: Option<&str>, args: &[String]| {
        let args = [guest::NAME].into_iter().chain(command).chain(args.iter().map(String::as_str));
        let args: Vec<CString> = args.map(c_string).collect();
        unistd::execveat(Some(own_binary::DESCRIPTOR), c"", &args, &environment(), AtFlags::AT_EMPTY_PATH)
    };
    let result = match entrypoint {
        Entrypoint::Module(args) => code_provider::hand_over().and_then(|()| own(Some(guest::SERVE), args)),
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

/// Without privileges, a filter can only be installed by a process that will
/// never gain any again.
fn install(filter: &LinuxSeccomp) -> Result<(), ExecutorError> {
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(ExecutorError::Other(format!("no_new_privs: {}", std::io::Error::last_os_error())));
    }
    seccomp::initialize_seccomp(filter)
        .map(|_| ())
        .map_err(|error| ExecutorError::Other(format!("the seccomp filter is refused: {error}")))
}

/// A program is to meet all signals as the kernel has them at first. What the shim
/// and Rust's own start have set to be ignored would stay so.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default is no handler. Numbers that have none are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Blocks these signals, and no others.
fn mask(signals: &[Signal]) {
    let set: SigSet = signals.iter().copied().collect();
    // It fails for wrong numbers only.
    let _ = set.thread_set_mask();
}

/// The environment that libcontainer has made of the specification's.
fn environment() -> Vec<CString> {
    use std::os::unix::ffi::OsStrExt;
    std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .filter_map(|variable| CString::new(variable).ok())
        .collect()
}

/// As much of the text as a C string can hold: arguments have no null bytes.
fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().take_while(|&byte| byte != 0).chain([0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(CStr::to_owned).unwrap_or_default()
}
