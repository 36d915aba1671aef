//! This binary as a file that nobody can write to.
//!
//! The container's process executes it, and a process in a container can open its own
//! executable (`/proc/self/exe`): it must not be able to write to the node's shim by
//! that (CVE-2019-5736).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use ssr_code_cache::read_only::{Execute, mount, sealed_memory};

use super::inherited_fds::SELF_EXE;

/// Opens this binary as [`SELF_EXE`]. Call it before anything else is opened.
pub fn open() -> Result<()> {
    let file = read_only()?;
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

fn read_only() -> Result<OwnedFd> {
    let mut binary = File::open("/proc/self/exe").context("cannot open this binary")?;
    if let Ok(mounted) = mount(&binary) {
        return Ok(mounted);
    }
    // Before Linux 5.12, or when the file on disk has been replaced.
    let copy = |to: &mut File| io::copy(&mut binary, to).map(drop);
    let copy = sealed_memory(c"containerd-shim-ssr-v1", Execute::Yes, copy);
    Ok(copy.context("cannot copy this binary into memory")?.into())
}
