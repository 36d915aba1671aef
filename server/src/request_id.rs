//! Request ids: a proxy's in front, or a number of our own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;

/// The header that carries the id, in both directions.
pub const HEADER: &str = "x-request-id";

/// Longest id that is taken from a request.
const MAX_LENGTH: usize = 64;

/// Makes ids.
pub struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids that differ from those of every other server.
    pub fn new() -> Self {
        Self { start: RandomState::new().hash_one(0), count: AtomicU64::new(0) }
    }

    /// The id of a request with these headers.
    pub fn id_of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(HEADER).and_then(|id| id.to_str().ok());
        match given.filter(|id| is_valid(id)) {
            Some(id) => id.to_owned(),
            None => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                // An odd multiplier visits every number once: unique, and not guessable by counting.
                format!("{:016x}", self.start.wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            }
        }
    }
}

/// Whether an id from outside may be logged and sent back.
fn is_valid(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_proxys_id_is_kept_if_it_is_valid() {
        let ids = RequestIds::new();
        let mut headers = HeaderMap::new();
        let own = ids.id_of(&headers);
        assert_ne!(own, ids.id_of(&headers));
        headers.insert(HEADER, HeaderValue::from_static("a-1"));
        assert_eq!(ids.id_of(&headers), "a-1");
        headers.insert(HEADER, HeaderValue::from_static("a b"));
        assert_eq!(ids.id_of(&headers).len(), 16);
    }
}
