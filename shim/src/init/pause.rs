//! The first process of a pod's sandbox: holds the pod's namespaces, and does nothing
//! else. Where the pod's containers share a PID namespace, their orphans are its children.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Waits for SIGTERM or SIGINT, and reaps meanwhile.
pub fn main() -> ExitCode {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    if let Err(error) = signals.thread_block() {
        eprintln!("ssr: cannot block signals: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        // Children may have ended before SIGCHLD was blocked.
        reap();
        if let Ok(Signal::SIGTERM | Signal::SIGINT) = signals.wait() {
            return ExitCode::SUCCESS;
        }
    }
}

fn reap() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            _ => {}
        }
    }
}
