//! Finds the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use ssr_code_cache::cache::{CacheError, CodeCache};
use ssr_code_cache::node_config::{CACHE_DIR, NodeConfig};

/// Root directories of containerd: the default one, k3s's and Docker's.
const ROOTS: [&str; 3] =
    ["/var/lib/containerd", "/var/lib/rancher/k3s/agent/containerd", "/var/lib/docker/containerd/daemon"];

/// The cache's location and the node's configuration of it.
#[derive(Debug)]
pub struct Place {
    /// The cache directory, which may not exist yet.
    pub directory: PathBuf,
    /// The most bytes that the cache keeps.
    pub size: u64,
    /// Whether containers use it, as far as the configuration says.
    pub enabled: bool,
    /// The trusted public keys, as written in the configuration.
    pub trusted_keys: Vec<String>,
}

impl Place {
    /// `directory`, or else the configured one, or else that of the containerd on this
    /// machine.
    pub fn find(directory: Option<PathBuf>) -> Result<Self> {
        let config = NodeConfig::read()?.cache;
        // A directory that is named is not the node's cache, or is meant nevertheless.
        let enabled = config.enabled || directory.is_some();
        let directory = match directory.or(config.directory) {
            Some(directory) => directory,
            None => of_containerd(&ROOTS.map(PathBuf::from)).with_context(|| {
                format!(
                    "no containerd found on this machine: none of {} exists; name the cache with --dir, or run this as root",
                    ROOTS.join(", ")
                )
            })?,
        };
        Ok(Self { directory, size: config.size, enabled, trusted_keys: config.trusted_keys })
    }

    /// Whether the directory exists.
    pub fn exists(&self) -> bool {
        // If this fails, `open` gives the error.
        self.directory.try_exists().unwrap_or(true)
    }

    /// Opens the cache for adding code, which nobody would use if it is turned off.
    pub fn open_for_adding(&self) -> Result<CodeCache> {
        if !self.enabled {
            return Err(anyhow!("{}; name another cache with --dir", CacheError::TurnedOff));
        }
        self.open()
    }

    /// Opens the cache and creates its directory if needed.
    pub fn open(&self) -> Result<CodeCache> {
        CodeCache::open(&self.directory, self.size).map_err(advise)
    }
}

/// The first cache that exists, or else that of the first containerd that exists.
fn of_containerd(roots: &[PathBuf]) -> Option<PathBuf> {
    let caches = || roots.iter().map(|root| root.join(CACHE_DIR));
    let there = roots.iter().filter(|root| root.is_dir()).map(|root| root.join(CACHE_DIR));
    caches().find(|cache| cache.is_dir()).or_else(|| there.into_iter().next())
}

/// Adds to an error of the cache what the user can do metadata it.
pub fn advise(error: CacheError) -> anyhow::Error {
    let denied = match &error {
        CacheError::Untrusted { owner, .. } => *owner != 0,
        CacheError::System { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
        CacheError::TooLarge { .. }
        | CacheError::NoShare { .. }
        | CacheError::TurnedOff
        | CacheError::Unknown(_) => false,
    };
    match denied {
        true => anyhow!(
            "{error}; the node's cache belongs to root: run this as root, or name your own cache with --dir"
        ),
        false => error.into(),
    }
}

/// A path's last part, for display.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_existing_cache_comes_before_one_that_would_be_created() {
        let here = tempfile::tempdir().unwrap();
        let roots = ["one", "two", "three"].map(|name| here.path().join(name));
        assert_eq!(of_containerd(&roots), None);
        fs::create_dir(&roots[1]).unwrap();
        assert_eq!(of_containerd(&roots), Some(roots[1].join("io.containerd.ssr.v1")));
        fs::create_dir_all(roots[2].join("io.containerd.ssr.v1")).unwrap();
        assert_eq!(of_containerd(&roots), Some(roots[2].join("io.containerd.ssr.v1")));
    }

    #[test]
    fn a_user_who_is_not_root_is_told_to_run_as_root() {
        let untrusted = |owner| CacheError::Untrusted { path: "/c".into(), owner };
        assert!(advise(untrusted(1000)).to_string().contains("run this as root"));
        assert!(!advise(untrusted(0)).to_string().contains("run this as root"));
    }
}
