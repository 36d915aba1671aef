//! The open connections, of which there is a most. When all places are taken, a new
//! connection gets the place of the one that has waited longest for its client: one that
//! neither sends nor reads, or that is idle. So clients that only hold connections shut
//! nobody out, health checks least of all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::phase::Phase;

/// A client may take this long for anything, even if others wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often to look for a connection to close while none can be.
const RETRY: Duration = Duration::from_millis(100);

/// All open connections.
pub struct Connections {
    places: Arc<Semaphore>,
    /// Looked at when a connection begins or ends, not for each request.
    open: Mutex<HashMap<u64, Open>>,
    next_number: AtomicU64,
}

struct Open {
    phase: Phase,
    task: AbortHandle,
}

/// A place for one connection, until it is dropped.
pub type Place = OwnedSemaphorePermit;

/// A connection's entry, until it is dropped.
struct Entry {
    connections: Arc<Connections>,
    number: u64,
    _place: Place,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
    }
}

impl Connections {
    /// Room for `most` connections.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            next_number: AtomicU64::new(0),
        })
    }

    /// A place for a new connection: a free one, or that of a connection which waits for
    /// its client. Waits if all the others are being answered.
    pub async fn place(&self) -> Place {
        loop {
            if self.places.available_permits() == 0 {
                self.close_one();
            }
            let place = Arc::clone(&self.places).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(place)) = tokio::time::timeout(RETRY, place).await {
                return place;
            }
        }
    }

    /// Closes the connection that has waited longest for its client, if there is one that
    /// has waited for some time.
    fn close_one(&self) {
        let open = self.open.lock();
        let waiting = open.values().filter_map(|open| Some((open.phase.client_waits()?, open)));
        let longest = waiting.max_by_key(|(waited, _)| *waited).filter(|(waited, _)| *waited >= PATIENCE);
        if let Some((waited, open)) = longest {
            log::debug!(
                "closed a connection that waited {waited:?} for its client: all are taken (SSR_MAX_CONNECTIONS)"
            );
            open.task.abort();
        }
    }

    /// Runs a connection on a task of its own.
    pub fn serve(
        self: &Arc<Self>,
        place: Place,
        phase: Phase,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { connections: Arc::clone(self), number, _place: place };
        // Locked until the entry is there: a task that ends at once waits, and removes it.
        let mut open = self.open.lock();
        let task = tokio::spawn(async move {
            let _entry = entry;
            connection.await;
        });
        open.insert(number, Open { phase, task: task.abort_handle() });
    }
}
