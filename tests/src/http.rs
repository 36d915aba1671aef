//! An HTTP client.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use ureq::Agent;
use ureq::http::HeaderMap;

use crate::shell::HANG_TIMEOUT;

/// A response, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// A header's value, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// GET. No response at all fails the test.
pub fn get(url: &str) -> Answer {
    try_get(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// GET on a connection of its own.
pub fn try_get(url: &str) -> Result<Answer, ureq::Error> {
    get_within(url, HANG_TIMEOUT)
}

/// GET, with a limit on the whole exchange.
pub fn get_within(url: &str, limit: Duration) -> Result<Answer, ureq::Error> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(limit))
        .build()
        .into();
    let mut response = agent.get(url).header("connection", "close").call()?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string()?,
    })
}

/// A port on which nothing listens at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Whether something listens on a port.
pub fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
