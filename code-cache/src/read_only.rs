//! Files for processes that are not trusted with them: they can be read and mapped, and
//! in no way changed.
//!
//! A read-only descriptor alone does not prevent that. Root in the receiver's PID
//! namespace opens `/proc/PID/fd/N`, or the mapping below `/proc/PID/map_files`, once more
//! for writing, and thereby the node's own file.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;

/// A file that nobody who gets its descriptor can change: it is seen through a read-only
/// mount of its own, or it is a sealed copy in memory.
#[derive(Debug)]
pub struct ReadOnlyFile(File);

impl ReadOnlyFile {
    /// `file` itself, through a mount: its pages stay shared with everybody else who maps
    /// it. Before Linux 5.12, or where mounting is refused, a copy in memory. Such copies
    /// are not shared: the shims that make them are processes without a common parent that
    /// could keep one.
    pub fn of(file: &File) -> io::Result<Self> {
        match Self::through_mount(file) {
            Ok(mounted) => Ok(mounted),
            Err(error) => {
                log::debug!("cannot mount a file of code, copying it: {error}");
                Self::copy_of(file)
            }
        }
    }

    /// The same of a part of `file`, in bytes. Returns where the part begins in it: a copy has
    /// nothing else.
    pub fn of_part(file: &File, offset: u64, length: usize) -> io::Result<(Self, u64)> {
        if let Ok(mounted) = Self::through_mount(file) {
            return Ok((mounted, offset));
        }
        let copy = Self::in_memory(|copy| {
            let mut part = vec![0; length];
            file.read_exact_at(&mut part, offset)?;
            copy.write_all(&part)
        });
        Ok((copy?, 0))
    }

    /// `file` itself, for this process alone, which could change it anyhow.
    pub(crate) fn of_own(file: &File) -> io::Result<Self> {
        file.try_clone().map(Self)
    }

    /// A file in memory with what `write` writes.
    pub fn in_memory(write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let sealed = sealed_memory(c"ssr-code", Execute::No, write)?;
        reopen(&sealed).map(Self)
    }

    /// A file that a trusted process has sent, which had it from [`Self::of`] or
    /// [`Self::in_memory`].
    pub(crate) fn received(file: File) -> Self {
        Self(file)
    }

    fn through_mount(file: &File) -> io::Result<Self> {
        // The mount goes with its own descriptor, but for this file: nobody can attach or
        // change it any more.
        reopen(&mount(file)?).map(Self)
    }

    fn copy_of(mut file: &File) -> io::Result<Self> {
        Self::in_memory(|copy| {
            file.rewind()?;
            io::copy(&mut file, copy).map(drop)
        })
    }

    /// Its size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// The open file.
    pub fn as_file(&self) -> &File {
        &self.0
    }

    /// The open file.
    pub fn into_file(self) -> File {
        self.0
    }
}

fn reopen(file: &impl AsRawFd) -> io::Result<File> {
    OpenOptions::new().read(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A detached read-only mount of an open file, by a descriptor like one of `O_PATH`. Files
/// can be mapped and executed there even if the file system is mounted `noexec`. Needs
/// Linux 5.12 and `CAP_SYS_ADMIN`.
pub fn mount(file: impl AsFd) -> io::Result<OwnedFd> {
    let mount = detached_mount(file)?;
    let restricted = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_mount_attributes(&mount, restricted, libc::MOUNT_ATTR_NOEXEC)?;
    Ok(mount)
}

/// A mount of an open file or directory that is attached nowhere, without what is mounted below
/// it. It goes with its descriptor. Needs Linux 5.2 and `CAP_SYS_ADMIN`.
pub fn detached_mount(file: impl AsFd) -> io::Result<OwnedFd> {
    let file = file.as_fd().as_raw_fd();
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the descriptor is valid, and the path is a C string; the result is checked.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, file, c"".as_ptr(), flags) };
    match RawFd::try_from(tree) {
        // SAFETY: the kernel has just opened it for this process.
        Ok(tree) if tree >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(tree) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets and clears attributes (`MOUNT_ATTR_*`) of a mount. Needs Linux 5.12.
pub fn set_mount_attributes(mount: impl AsFd, set: u64, clear: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: the descriptor is valid, and the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a file in memory can be executed as a program. Any can be mapped executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execute {
    /// As a program.
    Yes,
    /// Not as a program, which works even where `vm.memfd_noexec` forbids those.
    No,
}

/// A file in memory with what `write` writes, sealed against writing and resizing.
pub fn sealed_memory(
    name: &CStr,
    execute: Execute,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let memory = match execute {
        Execute::Yes => memory(name, flags | libc::MFD_EXEC),
        Execute::No => memory(name, flags | libc::MFD_NOEXEC_SEAL),
    };
    let mut file = match memory {
        // Before Linux 6.3.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self::memory(name, flags)?,
        memory => memory?,
    };
    write(&mut file)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is valid; the seals are numbers.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn memory(name: &CStr, flags: libc::c_uint) -> io::Result<File> {
    // SAFETY: the name is a C string; the result is checked.
    match unsafe { libc::memfd_create(name.as_ptr(), flags) } {
        // SAFETY: the kernel has just opened it for this process.
        file if file >= 0 => Ok(unsafe { File::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
    use std::path::Path;
    use std::ptr;

    use super::*;

    const CONTENT: &[u8] = &[7; 10_000];

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    /// A file in `dir` as the cache keeps it, opened for reading.
    fn file_in(dir: &Path) -> File {
        let path = dir.join("file");
        fs::write(&path, CONTENT).unwrap();
        File::open(path).unwrap()
    }

    /// Maps a page of a file.
    fn map(file: &File, protection: i32, flags: i32) -> io::Result<*mut libc::c_void> {
        // SAFETY: a new mapping, which nothing but the kernel looks at.
        match unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, file.as_raw_fd(), 0) } {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            mapped => Ok(mapped),
        }
    }

    /// Tries everything that a root process in the receiver's PID namespace can do.
    fn assert_unchangeable(file: &ReadOnlyFile) {
        let file = file.as_file();
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mapped = map(file, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE).unwrap();
        let mapping = format!("/proc/self/map_files/{:x}-{:x}", mapped as usize, mapped as usize + 4096);
        for path in [&descriptor, &mapping] {
            if path == &mapping && !is_root() {
                continue;
            }
            assert_eq!(fs::read(path).unwrap(), CONTENT);
            for options in [
                OpenOptions::new().write(true),
                OpenOptions::new().append(true),
                OpenOptions::new().read(true).write(true),
                OpenOptions::new().write(true).truncate(true),
            ] {
                // Files in memory can be opened for writing; their seals hold nevertheless.
                let Ok(mut writable) = options.open(path) else { continue };
                assert!(writable.write_all(b"evil").is_err(), "{path} can be written to");
                assert!(writable.set_len(0).is_err() && writable.set_len(1 << 20).is_err());
                let shared = map(&writable, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
                assert!(shared.is_err(), "{path} can be mapped for writing");
            }
        }
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
        assert!(file.write_at(b"evil", 0).is_err());
        assert!(map(file, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).is_err());
        // SAFETY: `mapped` is the mapping made above.
        unsafe {
            assert!(libc::mprotect(mapped, 4096, libc::PROT_READ | libc::PROT_WRITE) == 0, "private");
            mapped.cast::<u8>().write(1);
            assert_eq!(libc::munmap(mapped, 4096), 0);
        }
        assert_eq!(fs::read(&descriptor).unwrap(), CONTENT);
    }

    #[test]
    fn a_file_behind_its_mount_cannot_be_changed_and_is_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_in(directory.path());
        if !is_root() {
            let refused = ReadOnlyFile::through_mount(&file).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            return assert_unchangeable(&ReadOnlyFile::of(&file).unwrap());
        }
        let handed_out = ReadOnlyFile::through_mount(&file).unwrap();
        assert_unchangeable(&handed_out);
        let (original, seen) = (file.metadata().unwrap(), handed_out.as_file().metadata().unwrap());
        assert_eq!((original.dev(), original.ino()), (seen.dev(), seen.ino()), "pages are not shared");
        assert_eq!(original.mode(), seen.mode());
        assert!(handed_out.as_file().set_permissions(fs::Permissions::from_mode(0o777)).is_err());
        assert!(std::os::unix::fs::fchown(handed_out.as_file(), Some(1000), None).is_err());
        assert!(handed_out.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).is_err());
        let writable =
            libc::mount_attr { attr_set: 0, attr_clr: libc::MOUNT_ATTR_RDONLY, propagation: 0, userns_fd: 0 };
        // SAFETY: the descriptor is valid, and the size is the structure's.
        let changed = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                handed_out.as_file().as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                &raw const writable,
                size_of_val(&writable),
            )
        };
        assert!(changed < 0, "the mount can be made writable");
        assert!(mount(handed_out.as_file()).is_err(), "the mount can be cloned");
        // The owner's own file is as before.
        fs::write(directory.path().join("file"), b"new").unwrap();
        assert_eq!(handed_out.size().unwrap(), 3);
    }

    #[test]
    fn a_copy_in_memory_cannot_be_changed() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = file_in(directory.path());
        // Wherever its offset is.
        io::copy(&mut file, &mut io::sink()).unwrap();
        assert_unchangeable(&ReadOnlyFile::copy_of(&file).unwrap());
        assert_unchangeable(&ReadOnlyFile::in_memory(|file| file.write_all(CONTENT)).unwrap());
    }

    #[test]
    fn a_file_on_a_noexec_mount_is_mapped_without_a_copy() {
        if !is_root() {
            return;
        }
        // In a mount namespace that goes with this thread.
        let in_namespace = std::thread::spawn(|| {
            use nix::mount::{MsFlags, mount as attach};
            use nix::sched::{CloneFlags, unshare};
            let directory = tempfile::tempdir().unwrap();
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            attach(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            attach(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::MS_NOEXEC, none).unwrap();
            let file = file_in(directory.path());
            assert!(map(&file, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE).is_err());
            let handed_out = ReadOnlyFile::of(&file).unwrap();
            assert_eq!(file.metadata().unwrap().ino(), handed_out.as_file().metadata().unwrap().ino());
            assert_unchangeable(&handed_out);
            nix::mount::umount2(directory.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        });
        in_namespace.join().unwrap();
    }
}
