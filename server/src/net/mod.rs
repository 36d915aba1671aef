//! Connections: accepting them, their timeouts, and draining them at the end.

mod accept;
mod client_timeouts;
mod connections;
mod phase;
mod pulse;
mod stop_signals;

#[cfg(test)]
mod tests;

pub use accept::serve;
pub use phase::RequestBody;
pub use pulse::Pulse;
pub use stop_signals::{STOP_SIGNALS, StopSignals, leave_to_others};
