//! A log line for each request.

use std::time::Instant;

use http::{Request, StatusCode};

/// A request that will be logged.
pub struct LoggedRequest {
    what: String,
    started: Instant,
}

impl LoggedRequest {
    /// Notes method and target, and the time.
    pub fn begin<B>(request: &Request<B>) -> Self {
        Self { what: format!("{} {}", request.method(), request.uri()), started: Instant::now() }
    }

    /// Logs the request with its id, the response's status and the milliseconds it took.
    pub fn finish(self, id: &str, status: StatusCode) {
        let milliseconds = self.started.elapsed().as_secs_f64() * 1000.0;
        log::info!("[{id}] {} {} {milliseconds:.1} ms", self.what, status.as_u16());
    }
}
