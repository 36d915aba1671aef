//! Connections: accepting them, their timeouts, and draining them at the end.

mod accept;
mod client_timeouts;
mod stop_signals;

pub use accept::serve;
pub use stop_signals::StopSignals;
