//! Files that appear under their name only when they are complete.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A temporary file beside `path`. It is removed if it is dropped before it was
/// moved to `path`.
pub struct AtomicFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Creates a file with the permissions that the umask gives to any new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// Creates a file that nobody else can read at any time.
    pub fn create_private(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o600)
    }

    fn with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix(".ssr-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory_of(path))?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Moves the file to its path and replaces what was there.
    pub fn replace(self) -> io::Result<()> {
        self.temporary.persist(self.path)?;
        Ok(())
    }

    /// Writes the file to the disk and moves it to its path. Fails if there is a
    /// file already.
    pub fn sync_and_keep_existing(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist_noclobber(self.path)?;
        Ok(())
    }
}

/// The directory that holds `path`.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_when_it_is_complete_and_otherwise_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "before").unwrap();
        let ordinary = mode(&path);
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"dropped").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"after").unwrap();
        file.replace().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(mode(&path), ordinary);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_private_file_is_for_its_owner_alone_and_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut file = AtomicFile::create_private(&path).unwrap();
        file.file().write_all(b"first").unwrap();
        file.sync_and_keep_existing().unwrap();
        assert_eq!(mode(&path), 0o600);
        let mut file = AtomicFile::create_private(&path).unwrap();
        file.file().write_all(b"second").unwrap();
        let error = file.sync_and_keep_existing().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
