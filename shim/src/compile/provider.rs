//! The shim's end: looks a module's code up in the node's cache, or has it compiled.
//!
//! The container's process asks over a socket that it inherits. It is not trusted: what
//! it sends is a module, which is input for the compiler, and nothing else.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use ssr_code_cache::cache::{Code, Failure};
use ssr_code_cache::ipc::{self, Request};
use ssr_code_cache::module::digest_file;
use ssr_code_cache::node_config::{CACHE_DIR, NodeConfig};
use ssr_code_cache::provide;
use ssr_wasm::compile::CompileError;
use ssr_wasm::memory_trim;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::worker::{self, CachePlace, Order};
use crate::reaper::Reaper;

/// Exit codes of a compiler that its memory limit ended: by SIGKILL, or by an abort after
/// a failed allocation.
const OUT_OF_MEMORY: [u32; 2] = [137, 134];

/// Exit code of a compiler that its time limit ended: SIGXCPU.
const OUT_OF_TIME: u32 = 152;

/// Exit codes of a compiler with a fault: SIGILL, SIGBUS and SIGSEGV. Others, such as that of
/// SIGTERM, are no fault of the module.
const CRASHED: [u32; 3] = [132, 135, 139];

/// The cache that the node's configuration names, or the one below containerd's root.
fn cache_of(bundle: &Path) -> Result<CachePlace> {
    let config = NodeConfig::read()?.cache;
    let directory = match config.directory {
        Some(directory) => directory,
        // It is of no use, and must not be what the log complains about.
        None if !config.enabled => PathBuf::new(),
        None => containerd_root(bundle)?.join(CACHE_DIR),
    };
    Ok(CachePlace { enabled: config.enabled, directory, size: config.size, namespace: namespace(bundle) })
}

/// The containerd namespace of a bundle.
fn namespace(bundle: &Path) -> Option<String> {
    let work = work(bundle).ok()?;
    Some(work.parent()?.file_name()?.to_str()?.to_owned())
}

/// A bundle has a link to its place below containerd's root directory,
/// `ROOT/io.containerd.runtime.v2.task/NAMESPACE/ID`.
fn work(bundle: &Path) -> Result<PathBuf> {
    let link = bundle.join("work");
    fs::read_link(&link).with_context(|| format!("cannot read '{}'", link.display()))
}

/// containerd's root directory.
pub fn containerd_root(bundle: &Path) -> Result<PathBuf> {
    let work = work(bundle)?;
    let root = work.ancestors().nth(3).filter(|root| root.is_absolute());
    root.map(Path::to_owned).with_context(|| format!("'{}' is not below containerd's root", work.display()))
}

/// A pair of sockets that preserve message boundaries: one for the shim, and one for the
/// container's process.
pub fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    pair.context("cannot create the socket for compiled code")
}

/// Answers one request at the shim's end: a process serves one module.
pub fn serve(socket: OwnedFd, bundle: &Path, reaper: &Reaper) {
    let (bundle, reaper) = (bundle.to_owned(), reaper.clone());
    tokio::spawn(async move {
        if let Err(error) = answer(socket, &bundle, &reaper).await {
            log::warn!("cannot provide compiled code to '{}': {error:#}", bundle.display());
        }
        // The container runs now, and the shim mostly waits.
        memory_trim::trim_after_start().await;
    });
}

async fn answer(socket: OwnedFd, bundle: &Path, reaper: &Reaper) -> Result<()> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = UnixStream::from_std(socket)?;
    let received = loop {
        socket.readable().await?;
        match socket.try_io(Interest::READABLE, || ipc::receive_request(&socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => break received?,
        }
    };
    // A process that does not serve a module closes its end without asking.
    let Some((request, module)) = received else { return Ok(()) };
    let code = provide(request, module, bundle, reaper).await;
    Ok(ipc::answer(&socket, &code)?)
}

async fn provide(
    request: Request,
    module: File,
    bundle: &Path,
    reaper: &Reaper,
) -> Result<Code, CompileError> {
    let cache = cache_of(bundle).map_err(|error| format!("{error:#}"));
    let looked_up = {
        let (cache, request) = (cache.clone(), request.clone());
        tokio::task::spawn_blocking(move || look_up(cache, &request, module)).await
    };
    let LookedUp { found, module, digest, mut warnings } = looked_up.map_err(io::Error::other)??;
    if let Some(mut code) = found {
        code.warnings.append(&mut warnings);
        return Ok(code);
    }
    let order = Order { request, cache };
    let mut code = match compile(&order, module, reaper).await? {
        Compiled::Answered(answer) => answer?,
        Compiled::Died { reason, passing } => {
            if passing {
                let (order, reason) = (order, reason.clone());
                let remember = tokio::task::spawn_blocking(move || remember(&order, digest, reason));
                remember.await.map_err(io::Error::other)?;
            }
            return Err(CompileError::Module(reason));
        }
    };
    code.warnings.append(&mut warnings);
    Ok(code)
}

/// What was found in the cache, the module again, its digest if there is a cache, and
/// warnings.
struct LookedUp {
    found: Option<Code>,
    module: File,
    digest: Option<String>,
    warnings: Vec<String>,
}

fn look_up(
    cache: Result<CachePlace, String>,
    request: &Request,
    module: File,
) -> Result<LookedUp, CompileError> {
    let mut warnings = Vec::new();
    // The compiler, which then cannot write to the cache, reports what is wrong with it.
    let Ok(Ok(cache)) = cache.map(|cache| cache.open()) else {
        return Ok(LookedUp { found: None, module, digest: None, warnings });
    };
    let digest = digest_file(&module, &request.name)?;
    let found = provide::find(&cache, &digest, &request.engines, &mut warnings);
    for warning in &warnings {
        log::warn!("{warning}");
    }
    if found.is_none()
        && let Some(failure) = provide::find_failure(&cache, &digest, &request.engines)
    {
        return Err(CompileError::Module(failure.explain()));
    }
    Ok(LookedUp { found, module, digest: Some(digest), warnings })
}

/// Remembers that memory or time did not suffice for a module.
fn remember(order: &Order, digest: Option<String>, reason: String) {
    if let (Some(digest), Ok(Ok(cache))) = (digest, order.cache.as_ref().map(CachePlace::open)) {
        let failure = Failure { name: order.request.name.clone(), reason, passing: true };
        provide::remember_failure(&cache, &digest, order.request.render_memory_limit, &failure);
    }
}

/// How a compiler has ended.
enum Compiled {
    Answered(Result<Code, CompileError>),
    /// Without an answer; `passing` if that was the module's doing, today at least.
    Died {
        reason: String,
        passing: bool,
    },
}

/// Starts the compiler and waits for its answer.
async fn compile(order: &Order, module: File, reaper: &Reaper) -> Result<Compiled, CompileError> {
    let order = serde_json::to_string(order).map_err(io::Error::other)?;
    let (here, there) = sockets().map_err(io::Error::other)?;
    let (_, exit) = reaper.spawn(|| {
        let mut compiler = Command::new("/proc/self/exe");
        compiler.arg(worker::COMMAND).arg(order).stdin(module).stdout(there).stderr(Stdio::null());
        compiler.spawn().map(|child| child.id())
    })?;
    let exit = exit.await.map_err(io::Error::other)?;
    match tokio::task::spawn_blocking(move || ipc::receive_answer(here)).await {
        Ok(Err(CompileError::System(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let (reason, passing) = match exit.code {
                code if OUT_OF_MEMORY.contains(&code) => ("the compiler ran out of memory", true),
                OUT_OF_TIME => ("the compiler ran out of time", true),
                code => ("the compiler ended without an answer", CRASHED.contains(&code)),
            };
            let reason = format!("it does not compile: {reason} (exit code {})", exit.code);
            Ok(Compiled::Died { reason, passing })
        }
        Ok(answer) => Ok(Compiled::Answered(answer)),
        Err(error) => Err(io::Error::other(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_tells_its_namespace_and_containerds_root() {
        let bundle = tempfile::tempdir().unwrap();
        assert!(namespace(bundle.path()).is_none() && containerd_root(bundle.path()).is_err());
        let work = "/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io/4c90";
        std::os::unix::fs::symlink(work, bundle.path().join("work")).unwrap();
        assert_eq!(namespace(bundle.path()).as_deref(), Some("k8s.io"));
        assert_eq!(containerd_root(bundle.path()).unwrap(), Path::new("/var/lib/containerd"));
    }
}
