//! Runs the compiler: gives it a module, and takes its code.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::thread;

use nix::sys::memfd::{MemFdCreateFlag, memfd_create};
use ssr_code_cache::entry;
use ssr_code_cache::provide::{AttemptError, CompileRequest, Described};

use super::compiler::{self, Order};
use crate::cgroup::of_compilers::{CompilerCgroup, MAX_THREADS};
use crate::this_program;

/// The environment variable by which rayon, whose threads wasmtime compiles on, takes their
/// number.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

/// Signals of a compiler with a fault.
const CRASHED: [i32; 4] = [libc::SIGILL, libc::SIGBUS, libc::SIGSEGV, libc::SIGSYS];

/// Longest reason of a compiler that refuses a module, in bytes.
const MAX_REASON: u64 = 4 << 10;

/// Compiles a module in a process without privileges, which sees the module and nothing
/// else. What it makes is not trusted beyond that: it is used for this module only.
pub fn compile(request: &CompileRequest<'_>) -> Result<Described, AttemptError> {
    let mut module = memory(c"module")?;
    module.write_all(request.module)?;
    module.rewind()?;
    let mut code = memory(c"code")?;
    let cgroup = CompilerCgroup::create();
    if let Err(error) = &cgroup {
        log::warn!("the compiler has no cgroup of its own: {error:#}");
    }
    let cgroup = cgroup.ok();
    let order = Order {
        name: request.name.to_owned(),
        render_memory_limit: request.render_memory_limit,
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.name().to_owned()),
    };
    let order = serde_json::to_string(&order).map_err(io::Error::other)?;
    let mut compiler = this_program()
        .arg(compiler::COMMAND)
        .arg(std::process::id().to_string())
        .arg(order)
        .env_clear()
        .env(THREADS_VARIABLE, threads().to_string())
        .current_dir("/")
        .stdin(module)
        .stdout(Stdio::from(code.try_clone()?))
        .stderr(Stdio::null())
        .spawn()?;
    let status = compiler.wait()?;
    let at_limit = cgroup.as_ref().is_some_and(CompilerCgroup::was_at_its_limit);
    drop(cgroup);
    code.rewind()?;
    match status.code() {
        Some(compiler::DONE) => take_code(request, code),
        Some(compiler::REFUSED) => Err(AttemptError::Module(read_reason(code)?)),
        Some(exit) => {
            let reason = match read_reason(code)? {
                reason if reason.is_empty() => format!("the compiler failed with exit code {exit}"),
                reason => reason,
            };
            Err(AttemptError::System(io::Error::other(reason)))
        }
        None => Err(died(status, at_limit)),
    }
}

/// One thread for each processor, but no more than the compiler's cgroup allows: wasmtime gives
/// up if one of its threads cannot be started.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS)
}

fn memory(name: &CStr) -> io::Result<File> {
    Ok(memfd_create(name, MemFdCreateFlag::MFD_CLOEXEC)?.into())
}

fn take_code(request: &CompileRequest<'_>, mut file: File) -> Result<Described, AttemptError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (metadata, code) = entry::parse(&bytes).map_err(io::Error::other)?;
    let length = code.len();
    match request.fits(&metadata) {
        Ok(true) => {
            bytes.truncate(length);
            Ok((metadata, bytes.into()))
        }
        Ok(false) => Err(io::Error::other("the compiler has made code of another module").into()),
        Err(error) => Err(io::Error::other(error).into()),
    }
}

fn read_reason(file: File) -> io::Result<String> {
    let mut reason = Vec::new();
    file.take(MAX_REASON).read_to_end(&mut reason)?;
    Ok(String::from_utf8_lossy(&reason).into_owned())
}

/// `at_limit` says that the kernel killed it for reaching its memory limit. Whoever else
/// sends SIGKILL has other reasons, of which the module is not one.
fn died(status: ExitStatus, at_limit: bool) -> AttemptError {
    let signal = status.signal().unwrap_or_default();
    let reason = match signal {
        libc::SIGKILL if at_limit => "the compiler ran out of memory",
        // After a failed allocation.
        libc::SIGABRT => "the compiler ran out of memory",
        libc::SIGXCPU => "the compiler ran out of time",
        signal if CRASHED.contains(&signal) => "the compiler crashed",
        _ => return io::Error::other(format!("the compiler was ended by signal {signal}")).into(),
    };
    AttemptError::Exhausted(format!("it does not compile: {reason} (exit code {})", 128 + signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_starts_no_more_threads_than_it_may() {
        assert!((1..=MAX_THREADS).contains(&threads()));
    }

    #[test]
    fn how_a_compiler_died_tells_whether_to_try_again() {
        for (signal, at_limit, says) in [
            (libc::SIGKILL, true, "out of memory"),
            (libc::SIGABRT, false, "out of memory"),
            (libc::SIGXCPU, false, "out of time"),
            (libc::SIGSEGV, false, "crashed"),
        ] {
            let error = died(ExitStatus::from_raw(signal), at_limit);
            assert!(matches!(&error, AttemptError::Exhausted(reason) if reason.contains(says)), "{error}");
        }
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            assert!(matches!(died(ExitStatus::from_raw(signal), false), AttemptError::System(_)));
        }
    }
}
