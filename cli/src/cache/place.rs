//! Which cache is meant.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use ssr_server::code_cache::{CacheError, CodeCache};
use ssr_server::node_config::{CACHE_DIR, NodeConfig};

/// Root directories of containerd: its own, k3s's, and that of Docker's own.
const ROOTS: [&str; 3] =
    ["/var/lib/containerd", "/var/lib/rancher/k3s/agent/containerd", "/var/lib/docker/containerd/daemon"];

/// A cache's place, and what the node's configuration says of it.
#[derive(Debug)]
pub struct Place {
    /// Its directory, which need not be there yet.
    pub directory: PathBuf,
    /// The most bytes that it keeps.
    pub size: u64,
    /// Who may bring code, as the configuration has it.
    pub trusted_keys: Vec<String>,
}

impl Place {
    /// `directory`, or the configured one, or that of the containerd that is here.
    pub fn find(directory: Option<PathBuf>) -> Result<Self> {
        let config = NodeConfig::read()?.cache;
        let directory = match directory.or(config.directory) {
            Some(directory) => directory,
            None => of_containerd(&ROOTS.map(PathBuf::from)).with_context(|| {
                format!(
                    "no containerd is found here: there is none of {}; name the cache by --dir, or run this as root",
                    ROOTS.join(", ")
                )
            })?,
        };
        Ok(Self { directory, size: config.size, trusted_keys: config.trusted_keys })
    }

    /// Whether anything was ever put there.
    pub fn exists(&self) -> bool {
        // What cannot be looked at is for `open` to complain about.
        self.directory.try_exists().unwrap_or(true)
    }

    /// Opens the cache, which is made if it is not there.
    pub fn open(&self) -> Result<CodeCache> {
        CodeCache::open(&self.directory, self.size).map_err(advise)
    }
}

/// The first that has been used; or else the first that would be.
fn of_containerd(roots: &[PathBuf]) -> Option<PathBuf> {
    let caches = || roots.iter().map(|root| root.join(CACHE_DIR));
    let there = roots.iter().filter(|root| root.is_dir()).map(|root| root.join(CACHE_DIR));
    caches().find(|cache| cache.is_dir()).or_else(|| there.into_iter().next())
}

/// An error of the cache, with the way out that a person has.
pub fn advise(error: CacheError) -> anyhow::Error {
    let denied = match &error {
        CacheError::Untrusted { owner, .. } => *owner != 0,
        CacheError::System { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
        CacheError::Unknown(_) => false,
    };
    match denied {
        true => anyhow!(
            "{error}; the node's cache is root's: run this as root, or name a cache of your own by --dir"
        ),
        false => error.into(),
    }
}

/// A file's name for people.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_cache_that_is_used_comes_before_one_that_would_be() {
        let here = tempfile::tempdir().unwrap();
        let roots = ["one", "two", "three"].map(|name| here.path().join(name));
        assert_eq!(of_containerd(&roots), None);
        fs::create_dir(&roots[1]).unwrap();
        assert_eq!(of_containerd(&roots), Some(roots[1].join("io.containerd.ssr.v1")));
        fs::create_dir_all(roots[2].join("io.containerd.ssr.v1")).unwrap();
        assert_eq!(of_containerd(&roots), Some(roots[2].join("io.containerd.ssr.v1")));
    }

    #[test]
    fn somebody_who_is_not_root_is_told_to_be() {
        let untrusted = |owner| CacheError::Untrusted { path: "/c".into(), owner };
        assert!(advise(untrusted(1000)).to_string().contains("run this as root"));
        assert!(!advise(untrusted(0)).to_string().contains("run this as root"));
    }
}
