//! What `ssr node install` has changed: the files as they were before, and their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, NodeError};
use crate::files::root::Root;
use crate::files::write::{self, Lock};

/// The directory of the record and of the files as they were before.
pub const DIRECTORY: &str = "/var/lib/containerd-shim-ssr/node";

const FILE: &str = "record.json";

/// How the names of copies begin.
const COPY: &str = "before.";

/// How often the directory may vanish before it is taken for an error.
const MAX_ATTEMPTS: usize = 1000;

/// What was done to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The engine that reads the file.
    pub engine: String,
    /// The name of the copy of the file as it was before; `None` if there was none.
    pub before: Option<String>,
    /// SHA-256 of the file as it was written, in hexadecimal digits.
    pub written: String,
    /// The directories that were made for it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<PathBuf>,
}

/// The record, by the files' paths. Nobody else changes it while it exists.
#[derive(Debug)]
pub struct Record {
    root: Root,
    entries: BTreeMap<PathBuf, Entry>,
    _lock: Option<Lock>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    files: BTreeMap<PathBuf, Entry>,
}

impl Record {
    /// Reads the record to look at it.
    pub fn read(root: &Root) -> Result<Self, NodeError> {
        let path = Path::new(DIRECTORY).join(FILE);
        let entries = match root.read(&path)? {
            Some(text) => {
                let stored: Result<Stored, _> = serde_json::from_str(&text);
                stored.map_err(|error| NodeError::Record { path, reason: error.to_string() })?.files
            }
            None => BTreeMap::new(),
        };
        Ok(Self { root: root.clone(), entries, _lock: None })
    }

    /// Reads the record to change it; waits for others that do.
    pub fn open(root: &Root) -> Result<Self, NodeError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            // Another may remove the directory at any time, with all that is in it.
            match Self::lock(root) {
                Ok(lock) if lock.is_of(root, Path::new(DIRECTORY)) => {
                    return Ok(Self { _lock: Some(lock), ..Self::read(root)? });
                }
                Err(NodeError::System { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempts < MAX_ATTEMPTS => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
    }

    fn lock(root: &Root) -> Result<Lock, NodeError> {
        let directory = Path::new(DIRECTORY);
        let missing = write::missing_directories(root, &directory.join(FILE));
        write::create_directories(root, &missing)?;
        let lock = Lock::take(root, directory)?;
        // The files may hold passwords of registries.
        lock.make_private().context("change the mode of", directory)?;
        Ok(lock)
    }

    /// The entry of a file.
    pub fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The files of an engine.
    pub fn files_of(&self, engine: &str) -> Vec<PathBuf> {
        let of = self.entries.iter().filter(|(_, entry)| entry.engine == engine);
        of.map(|(path, _)| path.clone()).collect()
    }

    /// The file as it was before. `None` if there was none, or if its copy is gone.
    pub fn before(&self, path: &Path) -> Result<Option<String>, NodeError> {
        match self.get(path).and_then(|entry| entry.before.as_ref()) {
            Some(copy) => self.root.read(&Path::new(DIRECTORY).join(copy)),
            None => Ok(None),
        }
    }

    /// Whether `text` is what was written.
    pub fn is_as_written(&self, path: &Path, text: &str) -> bool {
        self.get(path).is_some_and(|entry| entry.written == digest(text))
    }

    /// Notes what is about to be written. It is on the disk when this returns.
    pub fn note(
        &mut self,
        path: &Path,
        engine: &str,
        before: Option<&str>,
        written: &str,
        directories: Vec<PathBuf>,
    ) -> Result<(), NodeError> {
        let copy = before.map(|_| copy_name(path));
        if let (Some(copy), Some(before)) = (&copy, before) {
            write::file(&self.root, &Path::new(DIRECTORY).join(copy), before)?;
        }
        let known = self.entries.remove(path).map(|entry| entry.directories).unwrap_or_default();
        let directories = if directories.is_empty() { known } else { directories };
        let entry = Entry { engine: engine.to_owned(), before: copy, written: digest(written), directories };
        self.entries.insert(path.to_owned(), entry);
        self.save()
    }

    /// Forgets a file, after it was put back, and removes the directories that were made
    /// for it.
    pub fn forget(&mut self, path: &Path) -> Result<(), NodeError> {
        let Some(entry) = self.entries.remove(path) else { return Ok(()) };
        // Another file of ours may be in them; they go with that one then.
        let mut others = self.entries.iter_mut();
        let heir = others.find(|(path, _)| entry.directories.iter().any(|made| path.starts_with(made)));
        match heir {
            Some((_, heir)) => {
                let more = entry.directories.into_iter().filter(|made| !heir.directories.contains(made));
                heir.directories = more.chain(heir.directories.clone()).collect();
            }
            None => write::remove_directories(&self.root, &entry.directories),
        }
        self.save()?;
        match entry.before {
            Some(copy) => write::remove_file(&self.root, &Path::new(DIRECTORY).join(copy)),
            None => Ok(()),
        }
    }

    /// Removes the record's files if it is empty.
    pub fn close(self) -> Result<(), NodeError> {
        if !self.entries.is_empty() {
            return Ok(());
        }
        let directory = PathBuf::from(DIRECTORY);
        // Copies that no record came to name, and what else a run that was killed has left.
        let entries = self.root.resolve(&directory).and_then(fs::read_dir).context("read", &directory)?;
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let text = name.to_string_lossy();
            if text == FILE || text.starts_with(COPY) || text.ends_with(write::PARTIAL) {
                write::remove_file(&self.root, &directory.join(&name))?;
            }
        }
        let above = directory.parent().map(Path::to_owned);
        write::remove_directories(&self.root, &above.into_iter().chain([directory]).collect::<Vec<_>>());
        Ok(())
    }

    fn save(&self) -> Result<(), NodeError> {
        let stored = Stored { files: self.entries.clone() };
        let path = Path::new(DIRECTORY).join(FILE);
        let text = serde_json::to_string_pretty(&stored)
            .map_err(|error| NodeError::Record { path: path.clone(), reason: error.to_string() })?;
        write::file(&self.root, &path, &(text + "\n"))
    }
}

/// "etc.docker.daemon.json": readable, and unique enough for the few files there are.
fn copy_name(path: &Path) -> String {
    let name = path.to_string_lossy();
    format!("{COPY}{}", name.trim_start_matches('/').replace('/', "."))
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
