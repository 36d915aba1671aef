//! Who has started the server, as far as it gives it something or wants to know how it does:
//! systemd, for example.

use std::fmt;
use std::net::TcpListener;
use std::time::Duration;

/// What a supervisor gives and wants; by default nothing.
#[derive(Default)]
pub struct Supervisor {
    /// A socket that listens already and does not block; instead of SSR_LISTEN's.
    pub listener: Option<TcpListener>,
    /// Takes reports.
    pub reports: Option<Box<dyn Fn(Report) + Send + Sync>>,
    /// How often it wants to hear [`Report::Alive`].
    pub watchdog: Option<Duration>,
}

/// How the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It answers requests.
    Ready,
    /// It accepts connections, and renders end.
    Alive,
    /// It was told to stop, and finishes what it has begun.
    Stopping,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("listener", &self.listener)
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}
