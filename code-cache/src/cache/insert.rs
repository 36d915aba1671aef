//! Adds code, after making room for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ssr_wasm::carried::sparse::Sparse;

use super::{CacheError, CodeCache, Listed, disk_size, holds, locks, room};
use crate::entry;
use crate::metadata::EntryMetadata;

/// The extension of code that is being written.
const UNFINISHED: &str = "new";

impl CodeCache {
    /// Adds code. When the cache is full, other code is evicted first; see
    /// [`Self::insert_all`].
    pub fn insert(&self, metadata: &EntryMetadata, code: &Sparse<'_>) -> Result<File, CacheError> {
        let _lock = locks::change(&self.dir)?;
        self.make_room(&[(metadata, code)])?;
        self.write(metadata, code)
    }

    /// Adds code: all of it or, if there is no room, nothing. The size limit holds at every
    /// moment, as the least recently used code is evicted first: that of this cache's
    /// namespace if it would have more than its share, or else that of namespaces that have
    /// more than theirs. Returns the sizes of the files in bytes.
    pub fn insert_all(&self, codes: &[(&EntryMetadata, &Sparse<'_>)]) -> Result<Vec<u64>, CacheError> {
        let _lock = locks::change(&self.dir)?;
        self.make_room(codes)?;
        let written = codes.iter().map(|(metadata, code)| {
            self.write(metadata, code)?;
            Ok(entry::size(metadata, code))
        });
        written.collect()
    }

    /// The caller holds the lock and has made room.
    fn write(&self, metadata: &EntryMetadata, code: &Sparse<'_>) -> Result<File, CacheError> {
        let path = self.path(&metadata.key);
        let unfinished = path.with_extension(UNFINISHED);
        let written = (|| {
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            entry::write(&file, metadata, code)?;
            // What a site adds to an engine of ours is made again faster than a disk writes it. If a
            // power failure takes it, its checksum tells.
            if !metadata.is_on_own_engine() {
                file.sync_all()?;
            }
            fs::rename(&unfinished, &path)?;
            // A descriptor for reading, rather than the one that wrote the file.
            File::open(&path)
        })();
        let file = written.map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            CacheError::System { what: "write", path: path.clone(), source }
        })?;
        self.hold(&path);
        Ok(file)
    }

    /// Evicts code until all of `codes` fits in. The caller holds the lock.
    fn make_room(&self, codes: &[(&EntryMetadata, &Sparse<'_>)]) -> Result<(), CacheError> {
        let needs = codes.iter().map(|(metadata, code)| disk_size(entry::size(metadata, code), 0)).sum();
        let names: Vec<_> = codes.iter().map(|(metadata, _)| &*metadata.name).collect();
        let (name, limit) = (names.join("', '"), self.size);
        if needs > limit {
            return Err(CacheError::TooLarge { name, needs, limit });
        }
        let other = self.remove_remnants()?;
        // What is replaced goes first: until the new file has its name, both would exist.
        let replaced: Vec<PathBuf> = codes.iter().map(|(metadata, _)| self.path(&metadata.key)).collect();
        let (replaced, others): (Vec<_>, Vec<_>) =
            self.list()?.into_iter().partition(|entry| replaced.contains(&entry.path));
        let entries: Vec<_> = others.iter().map(held).collect();
        let plan =
            |other: u64| room::plan(entries.clone(), &self.namespace, needs.saturating_add(other), limit);
        let plan = match plan(other.saturating_add(self.failures_size())) {
            Some(plan) => plan,
            None => {
                let plan = plan(other).ok_or(CacheError::NoShare { name, needs, limit })?;
                self.forget_all()?;
                plan
            }
        };
        for entry in &replaced {
            remove(&entry.path)?;
        }
        for (index, entry) in others.iter().enumerate() {
            let holders = plan.iter().filter(|(of, _)| *of == index).map(|(_, holder)| holder);
            if holders.clone().count() == entries[index].holders.len() {
                self.remove(entry)?;
                continue;
            }
            for namespace in holders.flatten() {
                entry.path.file_name().inspect(|file| holds::remove(&self.dir, namespace, file));
            }
        }
        Ok(())
    }

    /// Removes what interrupted writers and evictions have left: writers hold the lock, so
    /// nothing is being written now. Returns the disk space in bytes of everything that is
    /// not code.
    pub(super) fn remove_remnants(&self) -> Result<u64, CacheError> {
        let system = |source| CacheError::System { what: "read", path: self.dir.clone(), source };
        let mut other = 0;
        for found in fs::read_dir(&self.dir).map_err(system)? {
            let path = found.map_err(system)?.path();
            let Ok(status) = path.symlink_metadata() else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(UNFINISHED) => remove(&path)?,
                Some(super::EXTENSION) => {}
                _ if status.is_file() && status.len() > 0 => {
                    other += disk_size(status.len(), status.blocks())
                }
                _ => {}
            }
        }
        for hold in holds::all(&self.dir) {
            if !self.dir.join(&hold.file).exists() {
                holds::remove(&self.dir, &hold.namespace, &hold.file);
            }
        }
        Ok(other)
    }
}

fn held(entry: &Listed) -> room::Entry {
    let mut holders: Vec<_> =
        entry.namespaces.iter().map(|(namespace, used)| (Some(namespace.clone()), *used)).collect();
    if holders.is_empty() {
        holders.push((None, entry.used));
    }
    room::Entry { size: entry.on_disk, holders }
}

pub(super) fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CacheError::System { what: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
