//! A directory within those that a program may use. Symbolic links cannot lead out of them.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::Directory;

/// An open directory.
#[derive(Debug)]
pub struct Volume {
    directory: Directory,
    /// What `directory` names.
    _open: OwnedFd,
}

impl Volume {
    /// As a program gets it, for as long as the volume lives.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// A volume that cannot be given to a program.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// It is in none of the directories that may be used.
    #[error("the directory '{}' is not there for programs", .0.display())]
    NotGranted(PathBuf),
    /// It cannot be opened.
    #[error("cannot open the directory '{}': {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Opens the directory at the absolute `path`, as whoever has the `granted` ones sees it, for a
/// program that finds it at `guest`. Needs Linux 5.6.
pub fn open_beneath(granted: &[Directory], path: &Path, guest: &str) -> Result<Volume, VolumeError> {
    let above = granted.iter().filter(|above| path.starts_with(&above.guest));
    let above = above
        .max_by_key(|above| Path::new(&above.guest).components().count())
        .ok_or_else(|| VolumeError::NotGranted(path.to_owned()))?;
    let rest = path.strip_prefix(&above.guest).unwrap_or(path);
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, &above.host, directory, Mode::empty()).and_then(|above| {
        // No link of /proc is followed: it may lead anywhere.
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&above, rest, directory, Mode::empty(), within)
    });
    let open = opened.map_err(|error| VolumeError::Open { path: path.to_owned(), source: error.into() })?;
    let host = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    let directory = Directory { host, guest: guest.to_owned(), read_only: above.read_only };
    Ok(Volume { directory, _open: open })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_volume_is_within_what_is_granted_whatever_links_say() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/data")).unwrap();
        fs::write(dir.path().join("root/data/file"), "1").unwrap();
        symlink("/proc", dir.path().join("root/kernel")).unwrap();
        symlink("../../..", dir.path().join("root/data/up")).unwrap();
        symlink("/data", dir.path().join("root/same")).unwrap();
        let root = |guest: &str| Directory {
            host: dir.path().join("root"),
            guest: guest.to_owned(),
            read_only: true,
        };
        let granted = [root("/"), root("/deep/root")];
        let open = |path: &str| open_beneath(&granted, Path::new(path), "/mine");
        for path in ["/data", "/same", "/deep/root/data", "/data/up/data"] {
            let volume = open(path).unwrap();
            let Directory { host, guest, read_only } = volume.directory();
            assert!(host.join("file").exists() && guest == "/mine" && *read_only, "{path}");
        }
        assert!(open("/kernel").unwrap_err().to_string().contains("'/kernel'"));
        assert!(open("/data/file").is_err());
        let error = open_beneath(&granted[1..], Path::new("/data"), "/mine").unwrap_err();
        assert!(matches!(error, VolumeError::NotGranted(_)), "{error}");
    }
}
