//! The process that looks a module's code up in the node's cache, or has it compiled and
//! adds it.
//!
//! The container's process asks it over a socket. It is not trusted: what it sends is a
//! file, of which this process computes the digest and hands a copy to the compiler.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use ssr_code_cache::cache::{CacheError, Code, CodeCache};
use ssr_code_cache::ipc::{self, Message, Request};
use ssr_code_cache::module::{digest_file, read_file};
use ssr_code_cache::provide::{self, CompileRequest};
use ssr_wasm::compile::CompileError;

use super::ahead::Ahead;
use super::{compiler, compiler_process};
use crate::cgroup::of_compilers;
use crate::logger;
use crate::signals::end_with_parent;

/// The argument that makes this binary this process. The next ones are the shim's pid and,
/// as JSON, a [`CachePlace`] or the reason why there is none. Standard input is the socket.
pub const COMMAND: &str = "provide-code";

/// Most modules of one process, those of WAGI's routes, and one that was announced.
const MAX_MESSAGES: usize = 65;

/// Seconds of processor time after which the process is ended, not counting the compiler's:
/// to hash and copy the largest module takes a few on the slowest board.
const MAX_CPU_SECONDS: u64 = 120;

/// Most memory of the process in bytes: the largest module, and its code twice.
const MAX_MEMORY: u64 = 2 << 30;

/// `oom_score_adj`, from -1000 to 1000: when memory is short, the kernel should end it
/// before anything else but a compiler.
const OOM_SCORE: &[u8] = b"700";

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
    fn open(&self) -> Result<CodeCache, CacheError> {
        if !self.enabled {
            return Err(CacheError::TurnedOff);
        }
        let cache = CodeCache::open(&self.directory, self.size)?;
        Ok(cache.for_namespace(self.namespace.as_deref()))
    }
}

/// Answers the requests of one process, which mostly runs one module.
pub fn main() -> ExitCode {
    logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warn!("cannot provide compiled code: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(2);
    let (shim, place) = (args.next().context("no shim's pid")?, args.next().context("no cache's place")?);
    end_with_parent(&shim)?;
    // Whoever owns a module's file system could let it be read for ever. The compiler, which
    // inherits the hard limit, may take longer.
    setrlimit(Resource::RLIMIT_CPU, MAX_CPU_SECONDS, compiler::MAX_CPU_SECONDS)
        .context("cannot limit the processor time")?;
    let memory = of_compilers::memory_limit()?;
    setrlimit(Resource::RLIMIT_DATA, MAX_MEMORY.min(memory), memory).context("cannot limit the memory")?;
    // Best effort: root without CAP_SYS_RESOURCE may raise it, too.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let place: Result<CachePlace, String> = serde_json::from_str(&place).context("the cache's place")?;
    // SAFETY: standard input stays open until this process ends.
    let socket = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
    let mut announced = None;
    // A process that has nothing to serve closes its end without asking.
    for _ in 0..MAX_MESSAGES {
        let Some((message, module)) = ipc::receive_message(socket)? else { break };
        match message {
            Message::Announcement(name) => announced = prepare(&place, &module, &name),
            Message::Request(request) => {
                let ahead = announced.take().filter(|ahead: &Ahead| ahead.is_of(&module));
                let code = provide(place.clone(), ahead, &request, &module);
                ipc::answer(socket.as_fd(), &code)
                    .context("the container's process does not take its code")?;
            }
        }
    }
    Ok(())
}

/// What can be done before the process asks. What goes wrong here does so again then, and is
/// answered.
fn prepare(place: &Result<CachePlace, String>, module: &File, name: &str) -> Option<Ahead> {
    let cache = place.as_ref().ok()?.open().ok()?;
    let ahead = Ahead::of(&cache, module, name);
    ahead.inspect_err(|error| log::debug!("cannot prepare the code of '{name}': {error:#}")).ok()
}

fn provide(
    place: Result<CachePlace, String>,
    ahead: Option<Ahead>,
    request: &Request,
    module: &File,
) -> Result<Code, CompileError> {
    let mut warnings = Vec::new();
    let cache = place.map_err(CacheError::Unknown).and_then(|place| place.open());
    if let Ok(cache) = &cache {
        let digest = match ahead {
            Some(Ahead { code: Some(code), .. }) => return Ok(code),
            Some(Ahead { digest, .. }) => digest,
            None => digest_file(module, &request.name)?,
        };
        let engines = provide::host_engines(request.render_memory_limit)?;
        if let Some(mut code) = provide::find_here(cache, &digest, &engines, &mut warnings) {
            code.warnings.append(&mut warnings);
            return Ok(code);
        }
        if let Some(failure) = provide::find_failure(cache, &digest, &engines) {
            return Err(CompileError::Module(failure.explain()));
        }
        for warning in &warnings {
            log::warn!("{warning}");
        }
    }
    // From here on a copy: what is compiled is what has this digest, whatever happens to
    // the file.
    let module = read_file(module, &request.name)?;
    let wanted = CompileRequest {
        module: &module,
        name: &request.name,
        render_memory_limit: request.render_memory_limit,
    };
    let started = Instant::now();
    let mut code = provide::provide(cache, &wanted, compiler_process::compile)?;
    if code.compiled {
        log::info!("compiled '{}' in {} ms", code.metadata.name, started.elapsed().as_millis());
    }
    code.warnings.append(&mut warnings);
    Ok(code)
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

    #[test]
    fn a_sparse_module_is_refused_by_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let place =
            CachePlace { enabled: true, directory: dir.path().join("c"), size: 1 << 20, namespace: None };
        let module = tempfile::tempfile().unwrap();
        module.set_len(1 << 40).unwrap();
        let request = Request { name: "ssr.wasm".to_owned(), render_memory_limit: 1 << 20 };
        for place in [Ok(place), Err("no cache".to_owned())] {
            let error = provide(place, None, &request, &module).unwrap_err();
            assert!(
                matches!(&error, CompileError::Module(reason) if reason.contains("1099511627776")),
                "{error}"
            );
        }
    }
}
