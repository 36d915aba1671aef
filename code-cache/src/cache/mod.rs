//! The cache's directory: only its owner can write to it, and it holds a file for each
//! module and engine. Whatever an image supplies gets there only by way of the compiler.
//!
//! ```text
//! MODULE.ENGINE.code    code; its modification time is that of its last use
//! MODULE.ENGINE.new     code that is being written
//! used/NAMESPACE/       the code that a containerd namespace uses; see `holds`
//! failed/               modules that do not compile; see `failures`
//! lock, compiling       see `locks`
//! ```

mod error;
mod failures;
mod holds;
mod insert;
mod locks;
mod room;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ssr_wasm::compile::MachineCode;

use crate::entry;
use crate::metadata::{EntryMetadata, Key};
use crate::read_only::ReadOnlyFile;

pub use error::CacheError;
pub use failures::{Failure, Remembered};
pub use locks::Turn;

/// The extension of files of compiled code, whose names are their keys.
const EXTENSION: &str = "code";

/// A file system's unit, in bytes. One more of them stands for the file's inode and name.
const BLOCK: u64 = 4096;

/// Compiled code in a file that can be mapped.
#[derive(Debug)]
pub struct Code {
    /// The file, which begins with the code.
    pub file: ReadOnlyFile,
    /// What it is.
    pub metadata: EntryMetadata,
    /// Where its machine code is.
    pub machine: MachineCode,
    /// Whether it was compiled just now.
    pub compiled: bool,
    /// What the site's operator should know, such as why the code was not cached.
    pub warnings: Vec<String>,
    /// What the site's operator may want to know, though it is as intended.
    pub notes: Vec<String>,
}

/// A file of the cache.
#[derive(Debug)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of disk space that it needs, which count towards the size limit.
    pub on_disk: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// The containerd namespaces that use it, and when each has used it last.
    pub namespaces: BTreeMap<String, SystemTime>,
    /// What it is, or why it cannot be used.
    pub metadata: Result<EntryMetadata, entry::Unusable>,
}

/// A cache of compiled code in a directory.
#[derive(Debug, Clone)]
pub struct CodeCache {
    dir: PathBuf,
    size: u64,
    namespace: Option<String>,
    own: bool,
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
        Ok(Self { dir: dir.to_owned(), size, namespace: None, own: false })
    }

    /// The cache as containers of a containerd namespace use it: what they find or add is held
    /// by that namespace and counts towards its share. Without a namespace, or with a name
    /// that containerd does not allow, code is held by nobody until a container uses it.
    pub fn for_namespace(self, namespace: Option<&str>) -> Self {
        let namespace = namespace.filter(|name| holds::is_namespace(name)).map(str::to_owned);
        Self { namespace, ..self }
    }

    /// The cache as a process uses it that runs the code itself, as the user to whom the cache
    /// belongs: it may have the files as they are.
    pub fn for_this_process(self) -> Self {
        Self { own: true, ..self }
    }

    /// A file of the cache, for who runs the code.
    pub(crate) fn hand_out(&self, file: &File) -> io::Result<ReadOnlyFile> {
        if self.own { ReadOnlyFile::of_own(file) } else { ReadOnlyFile::of(file) }
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
        let file = File::open(&path).ok()?;
        let metadata = match entry::check(&file) {
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
        self.hold(&path);
        let file = self.hand_out(&file).ok()?;
        let machine = MachineCode::InFile;
        Some(Code { file, metadata, machine, compiled: false, warnings: Vec::new(), notes: Vec::new() })
    }

    /// Notes that this cache's namespace uses a file.
    fn hold(&self, path: &Path) {
        if let (Some(namespace), Some(file)) = (&self.namespace, path.file_name()) {
            // As above.
            let _ = holds::note(&self.dir, namespace, file);
        }
    }

    /// All files of compiled code.
    pub fn list(&self) -> Result<Vec<Listed>, CacheError> {
        let system = |source| CacheError::System { what: "read", path: self.dir.clone(), source };
        let mut holds: BTreeMap<OsString, BTreeMap<String, SystemTime>> = BTreeMap::new();
        for hold in holds::all(&self.dir) {
            holds.entry(hold.file).or_default().insert(hold.namespace, hold.used);
        }
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.dir).map_err(system)? {
            let found = found.map_err(system)?;
            let path = found.path();
            let Ok(status) = path.metadata() else { continue };
            if path.extension().is_none_or(|extension| extension != EXTENSION) || !status.is_file() {
                continue;
            }
            let metadata = File::open(&path).map_err(Into::into).and_then(|mut file| entry::peek(&mut file));
            entries.push(Listed {
                path,
                size: status.len(),
                on_disk: disk_size(status.len(), status.blocks()),
                used: status.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                namespaces: holds.remove(&found.file_name()).unwrap_or_default(),
                metadata,
            });
        }
        Ok(entries)
    }

    /// Removes a file, if it is still there, and the notes of who has used it.
    pub fn remove(&self, entry: &Listed) -> Result<(), CacheError> {
        insert::remove(&entry.path)?;
        for namespace in entry.namespaces.keys() {
            if let Some(file) = entry.path.file_name() {
                holds::remove(&self.dir, namespace, file);
            }
        }
        Ok(())
    }

    /// Removes all files, and forgets all failures. Returns their number and the total size in
    /// bytes of code.
    pub fn clear(&self) -> Result<(usize, u64), CacheError> {
        let _lock = locks::change(&self.dir)?;
        let entries = self.list()?;
        for entry in &entries {
            self.remove(entry)?;
        }
        let failures = self.forget_all()?;
        self.remove_remnants()?;
        Ok((entries.len() + failures, entries.iter().map(|entry| entry.size).sum()))
    }

    /// Waits until nobody else compiles the module of this digest for this cache.
    pub fn wait_for_turn(&self, module: &str) -> Result<Turn, CacheError> {
        Turn::wait(&self.dir, module)
    }
}

/// Bytes of disk space for a file of a size in bytes, which has so many blocks of 512 bytes. It
/// may have holes; without blocks it has not been written yet.
fn disk_size(size: u64, blocks: u64) -> u64 {
    let content = match blocks {
        0 => size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX),
        blocks => blocks.saturating_mul(512),
    };
    content.saturating_add(BLOCK)
}

#[cfg(test)]
mod tests;
