//! This binary as a file that nobody can write to.
//!
//! The container's process executes it, and what runs in a container can open
//! its own executable (`/proc/self/exe`): it must not be the node's shim that it
//! could write to then (CVE-2019-5736).

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::sys::memfd::{MemFdCreateFlag, memfd_create};

const SELF: &CStr = c"/proc/self/exe";

/// The descriptor that the runtime hands to the container's process; the first
/// one after standard input, output and error.
pub const DESCRIPTOR: RawFd = 3;

/// Opens this binary as [`DESCRIPTOR`], to be called before anything else is opened.
pub fn open() -> Result<()> {
    let file = match read_only_mount() {
        Ok(file) => file,
        // Before Linux 5.12, or after the file was replaced by a newer one.
        Err(_) => sealed_copy().context("cannot copy this binary into memory")?,
    };
    if file.as_raw_fd() != DESCRIPTOR {
        // SAFETY: both are valid; what was `DESCRIPTOR`, if anything, is not used yet.
        if unsafe { libc::dup3(file.as_raw_fd(), DESCRIPTOR, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error()).context("dup3");
        }
    } else {
        // It stays open until this process ends.
        std::mem::forget(file);
    }
    Ok(())
}

/// The file as a mount of its own, read-only and attached nowhere.
fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a C string; the result is checked.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, SELF.as_ptr(), flags) };
    let tree = owned(tree)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is valid, and the size is that of the structure.
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

/// A copy in memory that can neither be written to nor resized.
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
        // SAFETY: the kernel has just made it for us.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
