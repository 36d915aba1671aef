//! Where `ssr serve` and `ssr run` have machine code from: an engine of this program, or the user's
//! cache. What is not there yet is compiled by a process that ends, and with it the compiler's
//! memory.

pub mod compiler;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use ssr_code_cache::cache::{CacheError, Code, CodeCache};
use ssr_code_cache::module::read_file;
use ssr_code_cache::node_config::DEFAULT_SIZE;
use ssr_code_cache::provide::{self, CompileRequest};
use ssr_wasm::code_source::{CodeSource, on_own_engine};
use ssr_wasm::compile::{CompileError, CompiledCode};
use ssr_wasm::limits::Limits;

/// The source of code for this user.
pub fn source() -> CodeSource {
    CodeSource::Provider(Box::new(provide))
}

fn provide(name: &str, module: &File, limits: &Limits) -> Result<CompiledCode, CompileError> {
    // One that is too large for a cache is compiled by whoever asks.
    let module = read_file(module, name).map_err(|error| CompileError::System(io::Error::other(error)))?;
    if let Some(code) = on_own_engine(name, &module) {
        return Ok(code);
    }
    let cache = directory().and_then(|directory| CodeCache::open(&directory, DEFAULT_SIZE));
    let request = CompileRequest { module: &module, name, render_memory_limit: limits.render_memory_limit };
    let Code { file, metadata, machine, warnings, notes, .. } =
        provide::provide(cache.map(CodeCache::for_this_process), &request, compiler::compile)?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    for note in notes {
        log::info!("{note}");
    }
    Ok(CompiledCode { file: file.into_file(), interruption: metadata.interruption, machine })
}

/// The user's directory of compiled code.
fn directory() -> Result<PathBuf, CacheError> {
    let caches = caches()
        .ok_or_else(|| CacheError::Unknown("neither XDG_CACHE_HOME nor HOME names a directory".to_owned()))?;
    Ok(caches.join("containerd-shim-ssr"))
}

/// Where the user's programs keep what they can make again (XDG Base Directory Specification).
pub fn caches() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}
