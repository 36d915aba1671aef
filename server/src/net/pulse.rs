//! The beat that shows that connections are accepted: the loop that accepts them makes it.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Does something at intervals, as long as somebody waits for the next beat.
pub struct Pulse<F> {
    interval: Option<Interval>,
    at_beat: F,
}

impl<F: Fn()> Pulse<F> {
    /// Without an interval there are no beats.
    pub fn new(interval: Option<Duration>, at_beat: F) -> Self {
        let interval = interval.map(|interval| {
            let mut interval = tokio::time::interval(interval);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { interval, at_beat }
    }

    /// Waits for something, and beats meanwhile.
    pub async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            let Some(interval) = &mut self.interval else { return future.await };
            tokio::select! {
                result = &mut future => return result,
                _ = interval.tick() => (self.at_beat)(),
            }
        }
    }
}
