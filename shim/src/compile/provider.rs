//! The shim's part: starts the process that looks a module's code up, and ends it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use ssr_code_cache::node_config::{CACHE_DIR, NodeConfig};
use ssr_wasm::memory_trim;

use super::lookup::{self, CachePlace};
use crate::cgroup::of_compilers;
use crate::reaper::Reaper;
use crate::this_program;

/// Exit codes above this one are those of signals.
const SIGNALLED: u32 = 128;

/// The process that provides code to one process of a container. It ends when this is
/// dropped, if it has not before.
#[derive(Debug)]
pub struct Provider {
    pid: i32,
    reaper: Reaper,
}

impl Provider {
    /// Starts it. `socket` is its end of [`sockets`].
    pub fn start(socket: OwnedFd, bundle: &Path, reaper: &Reaper) -> Result<Self> {
        let place = serde_json::to_string(&cache_of(bundle).map_err(|error| format!("{error:#}")))?;
        let spawned = reaper.spawn(|| {
            let mut command = this_program();
            command.arg(lookup::COMMAND).arg(std::process::id().to_string()).arg(place);
            command.stdin(socket).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().map(|child| child.id())
        });
        let (pid, exit) = spawned.context("cannot start the process that provides compiled code")?;
        tokio::spawn(async move {
            // Fails if nothing is reaped any more. A process that ends by itself leaves nothing.
            let killed = exit.await.is_ok_and(|exit| exit.code > SIGNALLED);
            if killed {
                of_compilers::remove_left_when_ended().await;
            }
            // The container runs now, and the shim mostly waits.
            memory_trim::trim_after_start().await;
        });
        Ok(Self { pid, reaper: reaper.clone() })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Err(error) = self.reaper.signal(self.pid, libc::SIGKILL) {
            log::warn!("the process that provides compiled code does not end: {error:#}");
        }
    }
}

/// A pair of sockets that preserve message boundaries: one for the providing process, and
/// one for the container's.
pub fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    pair.context("cannot create the socket for compiled code")
}

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
