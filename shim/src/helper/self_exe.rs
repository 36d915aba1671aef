//! This binary as a file that nobody can write to.
//!
//! The container's process executes it, and a process in a container can open its own
//! executable (`/proc/self/exe`): it must not be able to write to the node's shim by
//! that (CVE-2019-5736).

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::sys::memfd::{MemFdCreateFlag, memfd_create};

use super::inherited_fds::SELF_EXE;

const PATH: &CStr = c"/proc/self/exe";

/// Opens this binary as [`SELF_EXE`]. Call it before anything else is opened.
pub fn open() -> Result<()> {
    let file = match read_only_mount() {
        Ok(file) => file,
        // Before Linux 5.12, or when the file on disk has been replaced.
        Err(_) => sealed_copy().context("cannot copy this binary into memory")?,
    };
    if file.as_raw_fd() != SELF_EXE {
        // SAFETY: takes numbers only; whatever `SELF_EXE` was before is not used yet.
        if unsafe { libc::dup3(file.as_raw_fd(), SELF_EXE, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error()).context("dup3");
        }
    } else {
        // It stays open until this process ends.
        std::mem::forget(file);
    }
    Ok(())
}

/// The file through a detached read-only mount of its own.
fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a C string; the result is checked.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, PATH.as_ptr(), flags) };
    let tree = owned(tree)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is valid, and the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(tree) }
}

/// A copy in memory, sealed against writing and resizing.
fn sealed_copy() -> Result<OwnedFd> {
    let flags = MemFdCreateFlag::MFD_CLOEXEC | MemFdCreateFlag::MFD_ALLOW_SEALING;
    let copy = memfd_create(c"containerd-shim-ssr-v1", flags)?;
    let mut file = File::from(copy);
    io::copy(&mut File::open("/proc/self/exe")?, &mut file)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is valid; the seals are numbers.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(file.into())
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(descriptor) {
        // SAFETY: the kernel has just opened it for this process.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
