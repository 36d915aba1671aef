//! The files of a container as its processes will see them, looked at before it exists:
//! the image's root with the configured mounts on it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::entrypoint::Files;
use super::spec::is_bind;

/// Most symbolic links in one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// The files of a container that is about to be made.
pub struct ContainerFiles {
    root: OwnedFd,
    mounts: Vec<MountPoint>,
    cwd: PathBuf,
}

/// A mount of the container's.
pub struct MountPoint {
    /// Where it is in the container, without symbolic links.
    pub destination: PathBuf,
    /// What is mounted there; `None` for what holds no file of an image or a volume, such
    /// as proc and tmpfs.
    source: Option<PathBuf>,
    /// What is there before; `None` if nothing is.
    pub covers: Option<Metadata>,
}

impl ContainerFiles {
    /// Those of the container that `spec` describes and whose image is mounted at `root`.
    pub fn new(spec: &Spec, root: &Path) -> io::Result<Self> {
        let cwd = spec.process().as_ref().map(|process| Path::new("/").join(process.cwd()));
        let mut files = Self {
            root: open_at(None, root.as_os_str(), OFlag::O_DIRECTORY)?,
            mounts: Vec::new(),
            cwd: cwd.unwrap_or_else(|| PathBuf::from("/")),
        };
        // In their order: a mount may lie within an earlier one.
        for mount in spec.mounts().iter().flatten() {
            let source = mount.source().clone().filter(|_| is_bind(mount));
            let (destination, covered) = files.walk(mount.destination())?;
            let covers = covered.and_then(|file| File::from(file).metadata().ok());
            files.mounts.push(MountPoint { destination, source, covers });
        }
        Ok(files)
    }

    /// The mounts, in the configuration's order.
    pub fn mounts(&self) -> &[MountPoint] {
        &self.mounts
    }

    /// Where a path leads, without symbolic links.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.walk(path)?.0)
    }

    /// Follows a path. Answers where it leads without symbolic links and, if there is
    /// something, what.
    fn walk(&self, path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
        let mut pending: VecDeque<OsString> = parts(&self.cwd.join(path));
        // The directories from the root to here; those that do not exist have no file.
        let mut stack = vec![(PathBuf::from("/"), Some(self.root.try_clone()?))];
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            // The first entry, the root, is never popped.
            let Some((directory, parent)) = stack.last() else { break };
            let here = directory.join(&part);
            let mounted = self.mounts.iter().rfind(|mount| mount.destination == here);
            let found = match (mounted, parent) {
                (Some(MountPoint { source: Some(source), .. }), _) => {
                    existing(open_at(None, source.as_os_str(), OFlag::empty()))?
                }
                (Some(_), _) | (None, None) => None,
                (None, Some(parent)) => existing(open_at(Some(parent), &part, OFlag::O_NOFOLLOW))?,
            };
            let target = match &found {
                Some(file) if mounted.is_none() && is_link(file)? => Some(link_target(file)?),
                _ => None,
            };
            let Some(target) = target else {
                stack.push((here, found));
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            if target.is_absolute() {
                stack.truncate(1);
            }
            for part in parts(&target).into_iter().rev() {
                pending.push_front(part);
            }
        }
        // Never empty: see above.
        Ok(stack.pop().unwrap_or_default())
    }

    fn file(&self, path: &Path) -> io::Result<File> {
        let found = self.walk(path)?.1.ok_or(io::ErrorKind::NotFound)?;
        Ok(found.into())
    }
}

impl Files for ContainerFiles {
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.file(path)?.metadata()
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = self.file(path)?;
        // It may be another file than the one whose metadata was asked for.
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }
}

/// The names in a path, without its root.
fn parts(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

/// A file that can be looked at, whatever it is: nothing happens to a device or a FIFO.
fn open_at(directory: Option<&OwnedFd>, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
    let directory = directory.map(AsRawFd::as_raw_fd);
    let file = openat(directory, name, OFlag::O_PATH | OFlag::O_CLOEXEC | flags, Mode::empty())?;
    // SAFETY: the kernel has just opened it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// `None` if there is no such file.
fn existing(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

fn is_link(file: &OwnedFd) -> io::Result<bool> {
    let stat = fstatat(Some(file.as_raw_fd()), c"", AtFlags::AT_EMPTY_PATH)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
}

fn link_target(link: &OwnedFd) -> io::Result<PathBuf> {
    let target = readlinkat(Some(link.as_raw_fd()), c"")?;
    Ok(OsString::from_vec(target.into_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// What a file of this path holds, in a container with these mounts (JSON).
    fn read(root: &Path, mounts: &str, path: &str) -> io::Result<String> {
        let config = format!(
            r#"{{"ociVersion":"1.0.2","process":{{"user":{{"uid":0,"gid":0}},"cwd":"/work","args":["x"]}},"mounts":{mounts}}}"#
        );
        let spec: Spec = serde_json::from_str(&config).unwrap();
        io::read_to_string(ContainerFiles::new(&spec, root)?.open(Path::new(path))?)
    }

    #[test]
    fn links_stay_within_the_image_and_relative_paths_begin_at_the_working_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("work/deep")).unwrap();
        fs::write(root.path().join("work/module"), "module").unwrap();
        symlink("/work/module", root.path().join("absolute")).unwrap();
        symlink("../../module", root.path().join("work/deep/up")).unwrap();
        symlink("../../../../../work/module", root.path().join("outside")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        for path in ["module", "./module", "/work/deep/../module", "/absolute", "/outside"] {
            assert_eq!(read(root.path(), "[]", path).unwrap(), "module", "{path}");
        }
        for path in ["/work/deep/up", "/etc/passwd", "/work/module/x", "nothing"] {
            assert_eq!(read(root.path(), "[]", path).unwrap_err().kind(), io::ErrorKind::NotFound, "{path}");
        }
        let error = read(root.path(), "[]", "/loop").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn mounts_cover_the_image_also_through_links_and_one_within_another() {
        let (root, volume, file) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        fs::create_dir_all(root.path().join("run/site")).unwrap();
        fs::create_dir(root.path().join("var")).unwrap();
        symlink("/run", root.path().join("var/run")).unwrap();
        fs::write(root.path().join("run/site/module"), "image").unwrap();
        fs::write(volume.path().join("module"), "volume").unwrap();
        fs::write(file.path(), "file").unwrap();
        let mount = |destination: &str, source: &Path| {
            let source = source.display();
            format!(
                r#"{{"destination":"{destination}","type":"bind","source":"{source}","options":["rbind"]}}"#
            )
        };
        let first = mount("/var/run/site", volume.path());
        let second = mount("/run/site/module", file.path());
        let both = format!("[{first},{second}]");
        assert_eq!(read(root.path(), "[]", "/run/site/module").unwrap(), "image");
        assert_eq!(read(root.path(), &format!("[{first}]"), "/run/site/module").unwrap(), "volume");
        assert_eq!(read(root.path(), &both, "/var/run/site/module").unwrap(), "file");
        let tmpfs = r#"[{"destination":"/run","type":"tmpfs","source":"tmpfs"}]"#;
        assert!(read(root.path(), tmpfs, "/run/site/module").is_err());
        // The mount's place need not exist in the image.
        let new = format!("[{}]", mount("/new/place", volume.path()));
        assert_eq!(read(root.path(), &new, "/new/place/module").unwrap(), "volume");
    }
}
