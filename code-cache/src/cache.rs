//! The cache's directory: only its owner can write to it, and it holds a file for each
//! module and engine. Whatever an image supplies gets there only by way of the compiler.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::entry;
use crate::metadata::{EntryMetadata, Key};
use crate::read_only::ReadOnlyFile;

/// Default size limit of a cache, in bytes.
pub const DEFAULT_SIZE: u64 = 256 << 20;

/// The extension of files of compiled code, whose names are their keys.
const EXTENSION: &str = "code";

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

/// Compiled code in a file that can be mapped.
#[derive(Debug)]
pub struct Code {
    /// The file, which begins with the code.
    pub file: ReadOnlyFile,
    /// What it is.
    pub metadata: EntryMetadata,
    /// Whether it was compiled just now.
    pub compiled: bool,
    /// What the site's operator should know, such as why the code was not cached.
    pub warnings: Vec<String>,
}

/// A file of the cache.
#[derive(Debug)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// What it is, or why it cannot be used.
    pub metadata: Result<EntryMetadata, entry::Unusable>,
}

/// A cache of compiled code in a directory.
#[derive(Debug, Clone)]
pub struct CodeCache {
    dir: PathBuf,
    size: u64,
}

impl CodeCache {
    /// Opens the cache in `dir`, which is created if it does not exist. `size` is its size
    /// limit in bytes.
    pub fn open(dir: &Path, size: u64) -> Result<Self, CacheError> {
        let system = |what, source| CacheError::System { what, path: dir.to_owned(), source };
        let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let metadata = match (created, fs::symlink_metadata(dir)) {
            (_, Ok(metadata)) => metadata,
            (Err(error), _) => return Err(system("create", error)),
            (_, Err(error)) => return Err(system("read", error)),
        };
        let owner = nix::unistd::geteuid().as_raw();
        if !metadata.is_dir() || metadata.uid() != owner || metadata.mode() & 0o022 != 0 {
            return Err(CacheError::Untrusted { path: dir.to_owned(), owner });
        }
        Ok(Self { dir: dir.to_owned(), size })
    }

    /// The cache directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its size limit in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.{}.{EXTENSION}", key.module, key.engine))
    }

    /// Finds code, verifies its checksum and marks it as used. A file that cannot be used
    /// counts as missing and adds a warning.
    pub fn find(&self, key: &Key, warnings: &mut Vec<String>) -> Option<Code> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let metadata = match entry::check(&mut file) {
            Ok(metadata) if metadata.key == *key => metadata,
            wrong => {
                let reason =
                    wrong.err().map_or("it belongs to another module".to_owned(), |error| error.to_string());
                warnings.push(format!("ignoring '{}' in the code cache: {reason}", path.display()));
                return None;
            }
        };
        // Fails on a read-only file system, where nothing is evicted either.
        let _ = file.set_modified(SystemTime::now());
        Some(Code { file: ReadOnlyFile::of(&file).ok()?, metadata, compiled: false, warnings: Vec::new() })
    }

    /// Adds code. When the cache is full, the least recently used files are evicted. The
    /// caller holds [`Self::lock`].
    pub fn insert(&self, metadata: &EntryMetadata, code: &[u8]) -> Result<File, CacheError> {
        let path = self.path(&metadata.key);
        let system = |what, source| CacheError::System { what, path: path.clone(), source };
        // It exists only if a writer was killed: writers hold the lock.
        let unfinished = path.with_extension("new");
        let written = (|| {
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            entry::write(&file, metadata, code)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            // A descriptor for reading, rather than the one that wrote the file.
            File::open(&path)
        })();
        let file = written.map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            system("write", error)
        })?;
        self.evict(&path);
        Ok(file)
    }

    /// Removes the least recently used files but `keep` until the size limit holds.
    fn evict(&self, keep: &Path) {
        let mut entries = self.list().unwrap_or_default();
        entries.sort_by_key(|entry| entry.used);
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        for entry in entries.iter().filter(|entry| entry.path != keep) {
            if size <= self.size {
                return;
            }
            if fs::remove_file(&entry.path).is_ok() {
                size -= entry.size;
            }
        }
    }

    /// All files of compiled code.
    pub fn list(&self) -> Result<Vec<Listed>, CacheError> {
        let system = |source| CacheError::System { what: "read", path: self.dir.clone(), source };
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.dir).map_err(system)? {
            let path = found.map_err(system)?.path();
            let Ok(status) = path.metadata() else { continue };
            if path.extension().is_none_or(|extension| extension != EXTENSION) || !status.is_file() {
                continue;
            }
            let metadata = File::open(&path).map_err(Into::into).and_then(|mut file| entry::peek(&mut file));
            let used = status.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(Listed { path, size: status.len(), used, metadata });
        }
        Ok(entries)
    }

    /// Removes all files and returns their number and total size in bytes.
    pub fn clear(&self) -> Result<(usize, u64), CacheError> {
        let entries = self.list()?;
        for entry in &entries {
            fs::remove_file(&entry.path).map_err(|source| CacheError::System {
                what: "remove",
                path: entry.path.clone(),
                source,
            })?;
        }
        Ok((entries.len(), entries.iter().map(|entry| entry.size).sum()))
    }

    /// Waits until nobody else compiles for this cache. Compilations run one at a time: a
    /// small board has no memory for several, and whoever waited for the same module then
    /// finds it.
    pub fn lock(&self) -> Result<File, CacheError> {
        let path = self.dir.join("lock");
        let system = |source| CacheError::System { what: "lock", path: path.clone(), source };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(system)?;
        file.lock().map_err(system)?;
        Ok(file)
    }
}
