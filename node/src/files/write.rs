//! Writing: a file is there as a whole or not at all, one `ssr node` at a time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::error::{Context as _, NodeError};
use crate::files::root::Root;

/// The end of the name of a file that is being written.
pub const PARTIAL: &str = ".ssr-partial";

/// Replaces the file of `path`, behind links, or creates it. Mode and owner stay.
pub fn file(root: &Root, path: &Path, text: &str) -> Result<(), NodeError> {
    write(root, path, text.as_bytes()).context("write", path)
}

fn write(root: &Root, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let found = root.resolve(path)?;
    let directory = parent(&found);
    let before = fs::metadata(&found).ok();
    let mode = before.as_ref().map_or(0o644, |before| before.mode() & 0o7777);
    // Hidden, so that no glob of an engine finds it while it is incomplete; and of one name,
    // so that the next run finds what a killed one left.
    let partial = partial(&found);
    remove_partial(&found)?;
    let file = File::create_new(&partial)?;
    // Removed if this fails.
    let mut temporary = NamedTempFile::from_parts(file, TempPath::try_from_path(partial)?);
    temporary.write_all(bytes)?;
    if let Some(before) = before {
        let new = temporary.as_file().metadata()?;
        if (new.uid(), new.gid()) != (before.uid(), before.gid()) {
            chown(temporary.path(), Some(before.uid()), Some(before.gid()))?;
        }
    }
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(&found)?;
    File::open(directory)?.sync_all()
}

/// Removes what a run that was killed has left beside `path`.
pub fn clean(root: &Root, path: &Path) -> Result<(), NodeError> {
    root.resolve(path).and_then(|found| remove_partial(&found)).context("clean up beside", path)
}

/// Removes the file of `path`.
pub fn remove_file(root: &Root, path: &Path) -> Result<(), NodeError> {
    let removed = root.resolve(path).and_then(|found| {
        remove_partial(&found)?;
        fs::remove_file(&found)?;
        File::open(parent(&found))?.sync_all()
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.context("remove", path),
    }
}

/// Where a file is written before it takes its place.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{PARTIAL}"))
}

fn remove_partial(path: &Path) -> io::Result<()> {
    match fs::remove_file(partial(path)) {
        Err(error) if !is_absence(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is nothing at a path, or nothing above it.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The directories that a file at `path` lacks, outermost first.
pub fn missing_directories(root: &Root, path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    let mut missing: Vec<_> =
        above.take_while(|directory| !root.has(directory)).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Creates directories, outermost first.
pub fn create_directories(root: &Root, directories: &[PathBuf]) -> Result<(), NodeError> {
    for directory in directories {
        match root.resolve(directory).and_then(fs::create_dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).context("create", directory);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes those of the directories that are empty.
pub fn remove_directories(root: &Root, directories: &[PathBuf]) {
    for directory in directories.iter().rev() {
        // Others may have put something in.
        let _ = root.resolve(directory).and_then(fs::remove_dir);
    }
}

/// The directory that holds `path`.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Held while the node is changed.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Waits for others that change the node. `directory` exists.
    pub fn take(root: &Root, directory: &Path) -> Result<Self, NodeError> {
        let locked = root.resolve(directory).and_then(|found| {
            let file = File::open(found)?;
            file.lock()?;
            Ok(file)
        });
        locked.map(Self).context("lock", directory)
    }

    /// Lets nobody else look into the directory.
    pub fn make_private(&self) -> io::Result<()> {
        self.0.set_permissions(Permissions::from_mode(0o700))
    }

    /// Whether the locked directory is still the one at `directory`.
    pub fn is_of(&self, root: &Root, directory: &Path) -> bool {
        let there = root.resolve(directory).and_then(fs::metadata);
        match (self.0.metadata(), there) {
            (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}
