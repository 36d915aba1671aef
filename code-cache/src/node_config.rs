//! The node's configuration, for all its containers: a small TOML file that the shim and
//! `ssr cache` read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file.
pub const FILE: &str = "/etc/containerd-shim-ssr/config.toml";

/// The environment variable, of containerd or of `ssr`, that names another file.
pub const FILE_VARIABLE: &str = "SSR_NODE_CONFIG";

/// The cache's default directory, below containerd's root directory.
pub const CACHE_DIR: &str = "io.containerd.ssr.v1";

/// Default size limit of a cache, in bytes.
pub const DEFAULT_SIZE: u64 = 256 << 20;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NodeConfig {
    /// The table `[cache]`.
    pub cache: CacheConfig,
}

/// The table `[cache]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CacheConfig {
    /// Whether code is cached at all.
    pub enabled: bool,
    /// The cache directory; [`CACHE_DIR`] if absent.
    pub directory: Option<PathBuf>,
    /// The size limit in bytes; in the file a text such as "256MiB".
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Ed25519 public keys whose owners may import compiled code.
    pub trusted_keys: Vec<String>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { enabled: true, directory: None, size: DEFAULT_SIZE, trusted_keys: Vec::new() }
    }
}

fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    let size: Result<bytesize::ByteSize, _> = text.parse();
    size.map(|size| size.as_u64()).map_err(|_| {
        serde::de::Error::custom(format!("invalid size '{text}': expected one such as \"256MiB\""))
    })
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// It cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It cannot be parsed.
    #[error("'{}': {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads this node's file. Defaults apply if there is none.
    pub fn read() -> Result<Self, NodeConfigError> {
        match std::env::var_os(FILE_VARIABLE) {
            Some(path) => Self::read_from(Path::new(&path)),
            None => Self::read_from(Path::new(FILE)),
        }
    }

    fn read_from(path: &Path) -> Result<Self, NodeConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(NodeConfigError::Read { path: path.to_owned(), source }),
        };
        toml::from_str(&text).map_err(|error| NodeConfigError::Parse {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NodeConfig, NodeConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        NodeConfig::read_from(file.path())
    }

    #[test]
    fn a_missing_or_empty_file_means_the_defaults() {
        assert_eq!(NodeConfig::read_from(Path::new("/no/such")).unwrap(), NodeConfig::default());
        assert_eq!(read("").unwrap(), NodeConfig::default());
        assert_eq!(NodeConfig::default().cache.size, 256 << 20);
        assert!(NodeConfig::default().cache.enabled);
    }

    #[test]
    fn the_cache_can_be_turned_off() {
        assert!(!read("[cache]\nenabled = false\n").unwrap().cache.enabled);
        assert!(read("[cache]\nenabled = 'no'\n").unwrap_err().to_string().contains("enabled"));
    }

    #[test]
    fn directory_and_size_are_configurable() {
        let config = read("[cache]\ndirectory = '/srv/code'\nsize = '64MiB'\n").unwrap();
        assert_eq!(config.cache.directory.as_deref(), Some(Path::new("/srv/code")));
        assert_eq!(config.cache.size, 64 << 20);
    }

    #[test]
    fn unknown_names_and_bad_values_are_named() {
        for (text, says) in
            [("[cache]\nsize = 'much'", "'much'"), ("[cash]", "cash"), ("[cache]\nsise = '1'", "sise")]
        {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
