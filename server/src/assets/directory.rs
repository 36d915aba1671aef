//! The directory of assets, and the only way to open one of its files.
//!
//! Who else can write to the directory (a sidecar, a CMS) can replace a file by anything at
//! any time. So what the index has seen at the start does not count: a link must not lead
//! out of the directory when it is followed, and what it leads to must be a file.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// Tries while the directory is being changed. The kernel gives up on a link with `..` if
/// anything on the node is renamed or mounted at that moment.
const TRIES: usize = 16;

/// Links are followed within the directory only.
const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

/// The directory of assets.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// Its canonical path.
    pub path: PathBuf,
}

/// Why an asset cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A link leads elsewhere.
    #[error(
        "it is a link that leads out of the directory of assets; put the file itself there, or a link to a file within the directory"
    )]
    LeadsOut,
    /// A directory, FIFO, socket or device.
    #[error("it is not a regular file any more; put a file there")]
    NotAFile,
    /// It was removed.
    #[error("it does not exist any more")]
    Gone,
    /// Another error of the system.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    File,
    Directory,
}

impl Directory {
    /// What is at `path` below the directory, without opening it. `None` if that is nothing, or
    /// leads out of it.
    pub fn look(&self, path: &Path) -> Option<Entry> {
        let kind = self.metadata(path)?.file_type();
        match (kind.is_file(), kind.is_dir()) {
            (true, _) => Some(Entry::File),
            (_, true) => Some(Entry::Directory),
            _ => None,
        }
    }

    /// Whether no directory on the way to `path` is a link. By links, one file has paths
    /// without number, and hidden files have some that are not.
    pub fn is_direct(&self, path: &Path) -> bool {
        let parent = self.path.join(path.parent().unwrap_or(Path::new("")));
        fs::canonicalize(&parent).is_ok_and(|real| real == parent)
    }

    /// When the file at `path` below the directory was changed last.
    pub fn modified(&self, path: &Path) -> Option<SystemTime> {
        self.metadata(path)?.modified().ok()
    }

    fn metadata(&self, path: &Path) -> Option<Metadata> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(BENEATH);
        let opened = match retried(|| openat2(self.fd.as_raw_fd(), path, how).map(owned)) {
            Err(Errno::EXDEV | Errno::ENOSYS | Errno::EPERM) => self.open_resolved(path, flags).ok(),
            other => other.ok(),
        };
        File::from(opened?).metadata().ok()
    }

    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        // For paths to begin at; that does not take the permission to read it.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(&path, flags, Mode::empty())?;
        Ok(Self { fd: owned(fd), path })
    }

    /// Opens the file at `path` below the directory, for reading.
    pub fn open_file(&self, path: &Path) -> Result<(File, Metadata), OpenError> {
        // Without O_NONBLOCK, a FIFO would hold the thread until somebody writes to it.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let how = OpenHow::new().flags(flags).resolve(BENEATH);
        let fd = match retried(|| openat2(self.fd.as_raw_fd(), path, how).map(owned)) {
            // A link with an absolute path, which may lead back into the directory.
            Err(Errno::EXDEV) => self.open_resolved(path, flags)?,
            // Before Linux 5.6, or a seccomp filter that does not know the call.
            Err(Errno::ENOSYS | Errno::EPERM) => self.open_resolved(path, flags)?,
            other => other.map_err(OpenError::from)?,
        };
        let file = File::from(fd);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile);
        }
        Ok((file, metadata))
    }

    /// Follows the links first, and opens what they lead to without following any: a link
    /// put into the way meanwhile is an error.
    fn open_resolved(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, OpenError> {
        let resolved =
            fs::canonicalize(self.path.join(path)).map_err(|error| match error.raw_os_error() {
                Some(code) => OpenError::from(Errno::from_raw(code)),
                None => OpenError::System(error),
            })?;
        let inside = resolved.strip_prefix(&self.path).map_err(|_| OpenError::LeadsOut)?;
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            // The directory of assets itself.
            return Err(OpenError::NotAFile);
        };
        let mut directory = None::<OwnedFd>;
        let step = |from: &Option<OwnedFd>, name: &OsStr, flags| {
            let from: RawFd = from.as_ref().unwrap_or(&self.fd).as_raw_fd();
            retried(|| openat(Some(from), name, flags | OFlag::O_NOFOLLOW, Mode::empty()).map(owned))
        };
        for component in parent {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            directory = Some(step(&directory, component, flags)?);
        }
        Ok(step(&directory, name, flags)?)
    }
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EXDEV => Self::LeadsOut,
            Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => Self::Gone,
            // A socket, or a device without a driver.
            Errno::ENXIO | Errno::ENODEV => Self::NotAFile,
            other => Self::System(other.into()),
        }
    }
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: only called with what an open call has just returned, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn retried(mut open: impl FnMut() -> nix::Result<OwnedFd>) -> nix::Result<OwnedFd> {
    for _ in 1..TRIES {
        match open() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What is read by the ordinary way and by the one for old kernels, which must agree.
    fn read(directory: &Directory, path: &str) -> Result<String, OpenError> {
        let content = |mut file: File| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let usual = directory.open_file(Path::new(path)).map(|(file, _)| content(file));
        let resolved = directory.open_resolved(Path::new(path), OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        match (&usual, resolved) {
            (Ok(usual), Ok(fd)) => assert_eq!(usual, &content(File::from(fd)), "{path}"),
            (Err(OpenError::NotAFile), Ok(fd)) => assert!(!File::from(fd).metadata().unwrap().is_file()),
            (Err(usual), Err(resolved)) => assert_eq!(usual.to_string(), resolved.to_string(), "{path}"),
            (usual, resolved) => panic!("{path}: {usual:?}, resolved {resolved:?}"),
        }
        usual
    }

    #[test]
    fn links_are_followed_within_the_directory_only() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("dist");
        fs::create_dir_all(base.join("a/b")).unwrap();
        fs::write(base.join("a/file"), "inside").unwrap();
        fs::write(root.path().join("secret"), "outside").unwrap();
        fs::create_dir(root.path().join("dist-of-another")).unwrap();
        fs::write(root.path().join("dist-of-another/file"), "outside").unwrap();
        let directory = Directory::open(&base).unwrap();
        for (link, target) in [
            ("relative", "a/file".into()),
            ("a/b/upwards", "../../a/file".into()),
            ("absolute", base.join("a/file")),
            ("absolute-directory", base.join("a")),
        ] {
            symlink(target, base.join(link)).unwrap();
        }
        for path in ["a/file", "relative", "a/b/upwards", "absolute", "absolute-directory/file"] {
            assert_eq!(read(&directory, path).unwrap(), "inside", "{path}");
        }
        for (link, target) in [
            ("out", "../secret".into()),
            ("out-absolute", root.path().join("secret")),
            ("out-beside", root.path().join("dist-of-another/file")),
            ("out-by-directory", root.path().to_owned()),
        ] {
            symlink(target, base.join(link)).unwrap();
        }
        for path in ["out", "out-absolute", "out-beside", "out-by-directory/secret", "../secret"] {
            assert!(matches!(read(&directory, path), Err(OpenError::LeadsOut)), "{path}");
        }
        symlink("/proc/self/exe", base.join("magic")).unwrap();
        assert!(matches!(read(&directory, "magic"), Err(OpenError::LeadsOut)));
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        nix::unistd::mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
        symlink(".", root.path().join("itself")).unwrap();
        symlink(root.path(), root.path().join("itself-absolute")).unwrap();
        for path in ["fifo", "directory", "socket", "itself", "itself-absolute"] {
            assert!(matches!(read(&directory, path), Err(OpenError::NotAFile)), "{path}");
        }
        symlink("loop", root.path().join("loop")).unwrap();
        for path in ["nothing", "loop", "fifo/file"] {
            assert!(matches!(read(&directory, path), Err(OpenError::Gone)), "{path}");
        }
    }

    #[test]
    fn a_directory_swapped_by_a_link_is_followed_to_its_new_place() {
        // As kubelet updates a volume of a ConfigMap.
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for version in ["..v1", "..v2"] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("file"), version).unwrap();
        }
        symlink("..v1", path("..data")).unwrap();
        symlink("..data/file", path("file")).unwrap();
        let directory = Directory::open(root.path()).unwrap();
        assert_eq!(read(&directory, "file").unwrap(), "..v1");
        symlink("..v2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        fs::remove_dir_all(path("..v1")).unwrap();
        assert_eq!(read(&directory, "file").unwrap(), "..v2");
    }
}
