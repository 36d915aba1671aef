//! Why a cache cannot be used.

use std::io;
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::node_config;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory belongs to somebody else, or others can write to it.
    #[error(
        "'{}' cannot be trusted with compiled code: it must be a directory that belongs to user {owner} and that \
         nobody else can write to", path.display()
    )]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// The user it should belong to.
        owner: u32,
    },
    /// The code is larger than the whole cache may be.
    #[error(
        "the code of '{name}' needs {}, and the cache's size limit is {}; raise `size` below [cache] in '{}'",
        ByteSize::b(*needs), ByteSize::b(*limit), node_config::FILE
    )]
    TooLarge {
        /// The module's name.
        name: String,
        /// Bytes of disk space that it needs.
        needs: u64,
        /// The cache's size limit in bytes.
        limit: u64,
    },
    /// The code would take from what belongs to other namespaces.
    #[error(
        "the code of '{name}' needs {}, which is more than a containerd namespace's share of the cache's {} now; \
         raise `size` below [cache] in '{}'", ByteSize::b(*needs), ByteSize::b(*limit), node_config::FILE
    )]
    NoShare {
        /// The module's name.
        name: String,
        /// Bytes of disk space that it needs.
        needs: u64,
        /// The cache's size limit in bytes.
        limit: u64,
    },
    /// The node's administrator does not want it.
    #[error("the node's configuration turns the code cache off ([cache] enabled = false)")]
    TurnedOff,
    /// Its place is not known.
    #[error("{0}")]
    Unknown(String),
    /// A system call failed.
    #[error("cannot {what} '{}': {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
