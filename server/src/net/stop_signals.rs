//! The signals that stop the server.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::ServeError;

/// SIGTERM and SIGINT, caught.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on the signals no longer end the process. (They would not end a
    /// container's first process anyway: the kernel drops what such a process does not
    /// catch.)
    pub fn catch() -> Result<Self, ServeError> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| ServeError::Internal(format!("cannot install a signal handler: {error}")))
        };
        let caught =
            Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
        unblock();
        Ok(caught)
    }

    /// Waits for a signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The shim starts a container with both signals blocked, so that one that arrives
/// before the handlers are installed is delivered then instead of being dropped.
fn unblock() {
    // SAFETY: the set is initialized by `sigemptyset`.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
