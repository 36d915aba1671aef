//! Signals: to containers' processes, and from the kernel when a parent ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

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

/// Makes the kernel kill this process when its parent ends, whose pid is `parent`. A change of
/// the user undoes it.
///
/// # Errors
/// If the parent has ended already.
pub fn end_with_parent(parent: &str) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    ensure!(parent == nix::unistd::getppid().to_string(), "the parent process has ended");
    Ok(())
}

/// Sends a signal to a process that is nobody's child here, if `belongs` still says so once
/// its pid can no longer become another process's. `false` if it has ended.
pub fn send_if(pid: i32, signal: i32, belongs: impl FnOnce() -> bool) -> Result<bool> {
    // SAFETY: takes numbers only; the result is checked.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let process = match RawFd::try_from(process) {
        // SAFETY: the kernel has just opened it for this process.
        Ok(process) if process >= 0 => unsafe { OwnedFd::from_raw_fd(process) },
        _ => {
            return match io::Error::last_os_error() {
                // Before Linux 5.3 there is only the pid.
                error if error.raw_os_error() == Some(libc::ENOSYS) => send(pid, signal),
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
                error => Err(error).with_context(|| format!("cannot send signal {signal}")),
            };
        }
    };
    if !belongs() {
        return Ok(false);
    }
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open; no information is passed.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, none, 0) } {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            error => Err(error).with_context(|| format!("cannot send signal {signal}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_goes_to_a_process_only_if_it_still_belongs_there() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!send_if(pid, libc::SIGKILL, || false).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        assert!(send_if(pid, libc::SIGKILL, || true).unwrap());
        child.wait().unwrap();
        assert!(!send_if(pid, libc::SIGKILL, || true).unwrap());
    }
}
