//! A directory that only this process uses, and that does not outlive it for long: it is
//! removed at the end, or by the next process that makes one. While its process lives, the
//! directory is locked.
//!
//! It is in the user's cache rather than below /tmp, which is memory on many systems: small
//! machines have little of it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::libc;
use tempfile::TempDir;

use crate::user_code;

/// The directory below the user's cache that has them.
const IN_CACHE: &str = "containerd-shim-ssr-unpacked";

/// What their names begin with.
const PREFIX: &str = "ssr-site-";

/// How often another process may take a new directory for an abandoned one.
const TRIES: usize = 100;

/// A locked directory.
pub struct PrivateDirectory {
    directory: TempDir,
    _lock: File,
}

impl PrivateDirectory {
    /// Makes one, and removes those that killed processes have left behind.
    pub fn create() -> Result<Self> {
        let base = base()?;
        remove_abandoned(&base);
        Self::create_in(&base).with_context(|| format!("in '{}'", base.display()))
    }

    fn create_in(base: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(fs::Permissions::from_mode(0o700));
        for _ in 0..TRIES {
            let directory = builder.tempdir_in(base)?;
            let Ok(lock) = File::open(directory.path()) else { continue };
            match lock.try_lock() {
                // Where there are no locks, nobody takes it for abandoned either.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => continue,
            }
            // Between the two steps another process may have removed it.
            let ours = lock.metadata()?;
            if fs::symlink_metadata(directory.path()).is_ok_and(|there| there.ino() == ours.ino()) {
                return Ok(Self { directory, _lock: lock });
            }
        }
        Err(io::Error::other("other processes remove what this one makes"))
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Where the directories are. Without a home it is the system's place for temporary files.
fn base() -> Result<PathBuf> {
    let Some(caches) = user_code::caches() else { return Ok(std::env::temp_dir()) };
    let base = caches.join(IN_CACHE);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&base);
    made.with_context(|| {
        format!("'{}' (set XDG_CACHE_HOME to a directory that can be written)", base.display())
    })?;
    Ok(base)
}

/// Removes the directories whose process was killed. What cannot be removed stays for later.
fn remove_abandoned(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let own = entry.metadata().is_ok_and(|metadata| metadata.uid() == nix::unistd::geteuid().as_raw());
        if !own || !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let Ok(directory) = OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else {
            continue;
        };
        if directory.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            log::debug!("cannot remove '{}': {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not() {
        let base = tempfile::tempdir().unwrap();
        let living = PrivateDirectory::create_in(base.path()).unwrap();
        fs::write(living.path().join("file"), "kept").unwrap();
        let abandoned = base.path().join(format!("{PREFIX}abandoned"));
        fs::create_dir_all(abandoned.join("files/dist")).unwrap();
        let other = base.path().join("of-another-program");
        fs::create_dir(&other).unwrap();
        remove_abandoned(base.path());
        assert!(living.path().join("file").exists() && other.exists());
        assert!(!abandoned.exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn processes_that_start_at_once_do_not_remove_each_others_directories() {
        let base = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        remove_abandoned(base.path());
                        let directory = PrivateDirectory::create_in(base.path()).unwrap();
                        fs::write(directory.path().join("file"), "kept").unwrap();
                        remove_abandoned(base.path());
                        assert!(directory.path().join("file").exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
