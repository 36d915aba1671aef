//! The compiler: a process that compiles one module, and ends. A module is a stranger's
//! input to a large program, so that program runs without privileges and sees nothing but
//! the module; see [`super::sandbox`].

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::FromRawFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use ssr_code_cache::entry;
use ssr_code_cache::provide::{AttemptError, CompileRequest};
use ssr_wasm::compile::loadable_engines;
use ssr_wasm::target::Target;

use super::sandbox;
use crate::cgroup::of_compilers;
use crate::signals::end_with_parent;

/// The argument that makes this binary the compiler. The next ones are its parent's pid and
/// an [`Order`] as JSON. The module is on standard input; code, or the reason why there is
/// none, goes to standard output.
pub const COMMAND: &str = "compile";

/// Exit code: standard output is an entry of the cache, with code.
pub const DONE: i32 = 0;
/// Exit code: standard output says what is wrong with the module.
pub const REFUSED: i32 = 65;
/// Exit code: standard output says what has failed.
const FAILED: i32 = 71;

/// Seconds of processor time after which a compilation is ended: ten times what the
/// largest site takes on the slowest board.
pub const MAX_CPU_SECONDS: u64 = 600;

/// Most code, in bytes.
const MAX_CODE: u64 = 512 << 20;

/// Niceness of a compilation: about a tenth of the processor time of anything else that
/// wants it. With less, a busy node would never start a site.
const NICE: libc::c_int = 10;

/// `oom_score_adj` of a compilation, from -1000 to 1000: when memory is short, the kernel
/// should end it before anything else.
const OOM_SCORE: &[u8] = b"800";

/// What to compile.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The module's name, for people.
    pub name: String,
    /// The memory limit of a render in bytes, which 32-bit code depends on.
    pub render_memory_limit: usize,
    /// The cgroup to join, if there is one.
    pub cgroup: Option<String>,
}

/// Compiles the module on standard input.
pub fn main() -> ExitCode {
    // SAFETY: both are this process's own and are not used anywhere else.
    let (module, mut output) =
        unsafe { (File::from_raw_fd(libc::STDIN_FILENO), File::from_raw_fd(libc::STDOUT_FILENO)) };
    let code = match run(module, &mut output) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => {
            // A reason that cannot be written is missing there.
            let _ = output.write_all(format!("{error:#}").as_bytes());
            if matches!(error.downcast_ref(), Some(AttemptError::Module(_))) { REFUSED } else { FAILED }
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn run(mut file: File, output: &mut File) -> Result<()> {
    let mut args = std::env::args().skip(2);
    let (parent, order) = (args.next().context("no parent's pid")?, args.next().context("no order")?);
    end_with_parent(&parent)?;
    let order: Order = serde_json::from_str(&order).context("the order")?;
    if let Some(cgroup) = &order.cgroup {
        of_compilers::join(cgroup)?;
    }
    limit_resources()?;
    // What looks at the machine does so before nothing can be seen of it.
    loadable_engines(order.render_memory_limit).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    sandbox::enter(&parent).context("the compiler cannot give up its privileges")?;
    let mut module = Vec::new();
    file.read_to_end(&mut module)?;
    let request =
        CompileRequest { module: &module, name: &order.name, render_memory_limit: order.render_memory_limit };
    let (metadata, code) = request.compile(Target::Host)?;
    entry::write(io::BufWriter::new(output), &metadata, &code)?;
    Ok(())
}

/// A module can be crafted to need far more than its size suggests.
fn limit_resources() -> Result<()> {
    // SAFETY: takes numbers only. If it is refused, the priority stays as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let half = of_compilers::memory_limit()?;
    for (resource, limit, what) in [
        (Resource::RLIMIT_DATA, half, "memory"),
        (Resource::RLIMIT_CPU, MAX_CPU_SECONDS, "processor time"),
        (Resource::RLIMIT_FSIZE, MAX_CODE, "output"),
        (Resource::RLIMIT_CORE, 0, "core dumps"),
    ] {
        setrlimit(resource, limit, limit).with_context(|| format!("cannot limit the compiler's {what}"))?;
    }
    Ok(())
}
