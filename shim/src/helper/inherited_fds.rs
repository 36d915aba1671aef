//! Descriptors that the helper leaves to the container's process. They follow standard
//! input, output and error, and are closed when the process executes a program of the
//! image.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// This binary, which the container's process executes; see [`super::self_exe`].
pub const SELF_EXE: RawFd = 3;

/// The socket at which the container's process asks for compiled code; see
/// [`crate::compile`].
pub const CODE_SOCKET: RawFd = SELF_EXE + 1;

/// The image's files, for a module that runs once; see [`super::mounts::image`]. The null
/// device where there are none.
pub const IMAGE: RawFd = CODE_SOCKET + 1;

/// How many there are, as libcontainer counts those it must keep open.
pub const COUNT: i32 = 3;

/// In the helper, before anything else is opened: takes the number [`IMAGE`].
pub fn reserve_image() -> Result<()> {
    place(File::open("/dev/null").context("cannot open /dev/null")?.into(), IMAGE)
}

/// In the helper: makes a descriptor the one of this number.
fn place(file: OwnedFd, number: RawFd) -> Result<()> {
    if file.as_raw_fd() == number {
        // It stays open until this process ends.
        let _ = file.into_raw_fd();
        return Ok(());
    }
    // SAFETY: takes numbers only; what had the number before is a placeholder, or nothing.
    if unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error()).context("dup3");
    }
    Ok(())
}

/// In the helper: makes the image's files [`IMAGE`].
pub fn place_image(files: OwnedFd) -> Result<()> {
    place(files, IMAGE)
}

/// In the container's process, before it executes this binary: keeps the image's files open.
pub fn keep_image() -> nix::Result<()> {
    fcntl(IMAGE, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

/// In the helper: moves the container's end of the socket to [`CODE_SOCKET`].
pub fn place_code_socket(socket: RawFd) -> Result<()> {
    ensure!(socket > CODE_SOCKET, "descriptor {socket} is reserved");
    // SAFETY: takes numbers only; whatever `CODE_SOCKET` was before is not used yet.
    if unsafe { libc::dup3(socket, CODE_SOCKET, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error()).context("dup3");
    }
    nix::unistd::close(socket)?;
    Ok(())
}

/// In the helper: the socket that the container's process will have, if this command makes one.
pub fn code_socket() -> BorrowedFd<'static> {
    // SAFETY: it stays open until this process ends; if it is something else, or nothing, no
    // message can be sent there.
    unsafe { BorrowedFd::borrow_raw(CODE_SOCKET) }
}

/// In the container's process, before it executes this binary: keeps the socket open.
pub fn keep_code_socket() -> nix::Result<()> {
    fcntl(CODE_SOCKET, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}
