//! The compiler: a process that compiles one module, outside the container's cgroup, and
//! ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::FromRawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use ssr_code_cache::cache::{CacheError, Code, CodeCache};
use ssr_code_cache::ipc::{self, Request};
use ssr_code_cache::module::read_file;
use ssr_code_cache::provide::{self, CompileRequest};
use ssr_wasm::compile::CompileError;

use crate::logger;

/// The argument that makes this binary the compiler. The next one is an [`Order`] as JSON.
pub const COMMAND: &str = "compile";

/// Seconds of processor time after which a compilation is ended: ten times what the
/// largest site takes on the slowest board.
const MAX_CPU_SECONDS: u64 = 600;

/// Niceness of a compilation: about a tenth of the processor time of anything else that
/// wants it. With less, a busy node would never start a site.
const NICE: libc::c_int = 10;

/// `oom_score_adj` of a compilation, from -1000 to 1000: when memory is short, the kernel
/// should end it before anything else.
const OOM_SCORE: &[u8] = b"800";

/// Where the node's cache is, its size limit in bytes, and the containerd namespace of the
/// container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachePlace {
    pub enabled: bool,
    pub directory: PathBuf,
    pub size: u64,
    pub namespace: Option<String>,
}

impl CachePlace {
    pub fn open(&self) -> Result<CodeCache, CacheError> {
        if !self.enabled {
            return Err(CacheError::TurnedOff);
        }
        let cache = CodeCache::open(&self.directory, self.size)?;
        Ok(cache.for_namespace(self.namespace.as_deref()))
    }
}

/// What to compile. The module is on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub request: Request,
    /// The cache, or why there is none.
    pub cache: Result<CachePlace, String>,
}

/// Compiles the module on standard input and answers on the socket that is standard
/// output.
pub fn main() -> ExitCode {
    logger::init();
    let code = compile();
    match ipc::answer(io::stdout(), &code) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot hand over compiled code: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<Code, CompileError> {
    let internal = |error: anyhow::Error| CompileError::System(io::Error::other(format!("{error:#}")));
    limit_resources().map_err(internal)?;
    let order = std::env::args().nth(2).context("the compiler has no order").map_err(internal)?;
    let Order { request, cache } = serde_json::from_str(&order).map_err(io::Error::other)?;
    let cache = cache.map_err(CacheError::Unknown).and_then(|cache| cache.open());
    // SAFETY: standard input is this process's own and is not used anywhere else.
    let module = unsafe { File::from_raw_fd(libc::STDIN_FILENO) };
    let module = read_file(&module, &request.name)?;
    let started = Instant::now();
    let code = provide::provide(
        cache,
        &CompileRequest {
            module: &module,
            name: &request.name,
            render_memory_limit: request.render_memory_limit,
        },
    )?;
    if code.compiled {
        log::info!("compiled '{}' in {} ms", code.metadata.name, started.elapsed().as_millis());
    }
    Ok(code)
}

/// A module can be crafted to need far more than its size suggests.
fn limit_resources() -> Result<()> {
    // SAFETY: takes numbers only. If it is refused, the priority stays as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let half = machine_memory()? / 2;
    setrlimit(Resource::RLIMIT_DATA, half, half).context("cannot limit the compiler's memory")?;
    setrlimit(Resource::RLIMIT_CPU, MAX_CPU_SECONDS, MAX_CPU_SECONDS)
        .context("cannot limit the compiler's processor time")
}

/// The machine's memory in bytes.
fn machine_memory() -> Result<u64> {
    let table = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kilobytes: u64 = total.context("no MemTotal in /proc/meminfo")?.trim().parse()?;
    Ok(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_turned_off_is_not_even_created() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("cache");
        let place =
            CachePlace { enabled: false, directory: directory.clone(), size: 1 << 20, namespace: None };
        assert!(matches!(place.open(), Err(CacheError::TurnedOff)) && !directory.exists());
        assert!(CachePlace { enabled: true, ..place }.open().is_ok() && directory.exists());
    }
}
