//! The file system whose engines are configured: the machine's own, or a tree of files
//! (`--root`), for images and tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, NodeError};

/// The most links that are followed to a file.
const MAX_LINKS: usize = 40;

/// The directory that stands for `/`.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self("/".into())
    }
}

impl Root {
    /// `directory` stands for `/`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Whether it is the machine's own file system, whose programs can be asked.
    pub fn is_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where an absolute path is.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether there is something at an absolute path.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.resolve(path.as_ref()).is_ok_and(|path| path.exists())
    }

    /// Where the file of an absolute path is, behind links. Links stay within this root.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let parts = |path: &Path| -> Vec<PathBuf> {
            path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect()
        };
        let (mut links, mut found) = (0, PathBuf::new());
        // The parts that are still to go, the next one last.
        let mut rest = parts(path);
        while let Some(part) = rest.pop() {
            if part == Path::new("/") {
                found = PathBuf::new();
            } else if part == Path::new("..") {
                found.pop();
            } else if part != Path::new(".") {
                let Ok(target) = fs::read_link(self.0.join(&found).join(&part)) else {
                    found.push(part);
                    continue;
                };
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                rest.extend(parts(&target));
            }
        }
        Ok(self.0.join(found))
    }

    /// The text of a file; `None` if there is none.
    pub fn read(&self, path: &Path) -> Result<Option<String>, NodeError> {
        let found = self.resolve(path).context("read", path)?;
        match fs::read(found) {
            Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| NodeError::NotText(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_within_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        fs::create_dir_all(root.at("/snap/1/args")).unwrap();
        fs::write(root.at("/snap/1/args/file"), "text").unwrap();
        symlink("1", root.at("/snap/current")).unwrap();
        symlink("/snap/current/args/file", root.at("/link")).unwrap();
        assert_eq!(root.read(Path::new("/link")).unwrap().as_deref(), Some("text"));
        assert_eq!(root.resolve(Path::new("/link")).unwrap(), root.at("/snap/1/args/file"));
        symlink("/loop", root.at("/loop")).unwrap();
        assert!(root.read(Path::new("/loop")).unwrap_err().to_string().contains("'/loop'"));
        assert_eq!(root.read(Path::new("/none/at/all")).unwrap(), None);
    }
}
