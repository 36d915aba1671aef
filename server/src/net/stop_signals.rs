//! The signals that stop the server.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::ServeError;

/// The signals, and their names. Images name their own in STOPSIGNAL (nginx's SIGQUIT), and a
/// terminal that closes sends SIGHUP.
const SIGNALS: [(libc::c_int, &str); 4] = [
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGHUP, "SIGHUP"),
];

/// Their numbers. Whoever executes the server blocks these, so that one that arrives before
/// the handlers are installed is delivered then instead of being dropped.
pub const STOP_SIGNALS: [libc::c_int; 4] = [SIGNALS[0].0, SIGNALS[1].0, SIGNALS[2].0, SIGNALS[3].0];

/// The signals, caught.
pub struct StopSignals(Vec<(Signal, &'static str)>);

impl StopSignals {
    /// From here on the signals no longer end the process. (They would not end a
    /// container's first process anyway: the kernel drops what such a process does not
    /// catch.)
    pub fn catch() -> Result<Self, ServeError> {
        let catch = |(number, name)| {
            let caught = signal(SignalKind::from_raw(number));
            caught.map(|caught| (caught, name)).map_err(|error| {
                ServeError::Internal(format!("cannot install a handler for {name}: {error}"))
            })
        };
        let caught = SIGNALS.into_iter().map(catch).collect::<Result<_, _>>()?;
        mask(libc::SIG_UNBLOCK);
        Ok(Self(caught))
    }

    /// Waits for a signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            let arrived =
                signals.find_map(|(signal, name)| signal.poll_recv(context).is_ready().then_some(*name));
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Leaves the signals to other threads. One that takes them without a handler ends the process,
/// even if the thread that is to answer them has blocked them.
pub fn leave_to_others() {
    mask(libc::SIG_BLOCK);
}

fn mask(how: libc::c_int) {
    // SAFETY: the set is initialized by `sigemptyset`.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for number in STOP_SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut());
    }
}
