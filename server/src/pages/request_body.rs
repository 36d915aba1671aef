//! Reads the bodies of requests. All of a site's bodies share one budget of memory, and
//! each is read only when there is room for it: what a client has not been asked for
//! stays with the client.

use std::io;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use ssr_wasm::abi::request::BodyStream;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::container_memory;
use crate::net::RequestBody;
use crate::settings::Settings;

/// As many bodies of the largest size have room at the same time, if the container has
/// memory enough.
const LARGEST_BODIES: usize = 16;

/// The share of a container's memory that bodies may take: one of so many parts.
const MEMORY_PARTS: u64 = 8;

/// Parts of a body that may wait for the guest that takes them as they arrive.
const PARTS_AHEAD: usize = 4;

/// The budget's unit, in bytes.
const UNIT: usize = 1 << 10;

/// The budget of a site.
pub struct BodyBudget {
    room: Semaphore,
    max_size: usize,
    body_timeout: Duration,
    queue_timeout: Duration,
}

/// A body, and its room in the budget.
#[derive(Default)]
pub struct ReadBody<'a> {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// `None` if there are none.
    room: Option<SemaphorePermit<'a>>,
}

impl<'a> ReadBody<'a> {
    /// The room, for somebody who has copied the bytes.
    pub fn into_room(self) -> Option<SemaphorePermit<'a>> {
        self.room
    }
}

impl BodyBudget {
    /// The budget that `settings` and the container's memory allow: 16 bodies of the
    /// largest size, but no more than an eighth of the memory, and at least one body.
    pub fn new(settings: &Settings) -> Self {
        Self::with_memory(settings, container_memory::limit())
    }

    fn with_memory(settings: &Settings, memory: Option<u64>) -> Self {
        let max_size = settings.max_body_size;
        let share =
            memory.and_then(|memory| usize::try_from(memory / MEMORY_PARTS).ok()).unwrap_or(usize::MAX);
        let bytes = max_size.saturating_mul(LARGEST_BODIES).min(share).max(max_size);
        Self {
            room: Semaphore::new(bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS)),
            max_size,
            body_timeout: settings.body_timeout,
            queue_timeout: settings.limits.queue_timeout,
        }
    }

    /// A body that is passed on as it arrives; `None` if there is none. What has not been taken
    /// stays with the client, so it needs no room. The error is the status to answer with.
    pub fn stream(&self, mut body: RequestBody) -> Result<Option<BodyStream>, StatusCode> {
        if body.is_end_stream() {
            return Ok(None);
        }
        if body.size_hint().lower() > self.max_size as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let (parts, stream) = mpsc::channel(PARTS_AHEAD);
        let (max_size, limit) = (self.max_size, self.body_timeout);
        tokio::spawn(async move {
            let mut size = 0;
            let broken = |reason: &str| io::Error::other(reason.to_owned());
            loop {
                let part = match timeout(limit, body.frame()).await {
                    Ok(None) => return,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            size += data.len();
                            let fits = size <= max_size;
                            fits.then_some(data).ok_or_else(|| broken("it is larger than SSR_MAX_BODY_SIZE"))
                        }
                        // Trailers.
                        Err(_) => continue,
                    },
                    Ok(Some(Err(error))) => Err(io::Error::other(error)),
                    Err(_) => Err(broken("nothing of it has arrived within SSR_BODY_TIMEOUT")),
                };
                let last = part.is_err();
                // Nobody wants more of it once the response is complete.
                if parts.send(part).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Some(stream))
    }

    /// Reads a body. The error is the status to answer with; `what` names the request in
    /// the log.
    pub async fn read(
        &self,
        mut body: RequestBody,
        what: impl Fn() -> String,
    ) -> Result<ReadBody<'_>, StatusCode> {
        if body.is_end_stream() {
            return Ok(ReadBody::default());
        }
        let sizes = body.size_hint();
        let size = |size| usize::try_from(size).unwrap_or(usize::MAX);
        if size(sizes.lower()) > self.max_size {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // Without a Content-Length it may be as large as any.
        let most = sizes.upper().map_or(self.max_size, size).min(self.max_size);
        let room = self.room.acquire_many(units(most));
        let Ok(Ok(mut room)) = timeout(self.queue_timeout, room).await else {
            log::warn!(
                "{}: answered 503: too many request bodies within {:?} (SSR_QUEUE_TIMEOUT)",
                what(),
                self.queue_timeout
            );
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        };
        let mut bytes = Vec::new();
        let read = async {
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
                let needed = bytes.len() + data.len();
                if needed > most {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                if needed > bytes.capacity() {
                    let capacity = needed.max(2 * bytes.capacity()).min(most);
                    bytes.reserve_exact(capacity - bytes.len());
                }
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        timeout(self.body_timeout, read).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))?;
        bytes.shrink_to_fit();
        drop(room.split(room.num_permits().saturating_sub(units(bytes.len()) as usize)));
        Ok(ReadBody { bytes, room: Some(room) })
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_depends_on_the_largest_body_and_the_containers_memory() {
        let room = |max_body_size, memory| {
            let settings = Settings { max_body_size, ..Settings::default() };
            BodyBudget::with_memory(&settings, memory).room.available_permits() * UNIT
        };
        assert_eq!(room(1 << 20, None), 16 << 20);
        assert_eq!(room(1 << 20, Some(1 << 30)), 16 << 20);
        assert_eq!(room(1 << 20, Some(24 << 20)), 3 << 20);
        assert_eq!(room(8 << 20, Some(24 << 20)), 8 << 20);
        assert_eq!(room(100, None), 2 << 10);
    }
}
