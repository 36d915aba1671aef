//! Signals to containers' processes.

use std::io;

use anyhow::{Context as _, Result};

/// Sends a signal, of any number: nix does not know the real-time signals. `false` if the
/// process has ended.
pub fn send(pid: i32, signal: i32) -> Result<bool> {
    // SAFETY: takes numbers only.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ESRCH) => Ok(false),
        _ => Err(error).with_context(|| format!("cannot send signal {signal}")),
    }
}
