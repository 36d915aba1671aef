//! Publishes containers' events to containerd, in order.
//!
//! containerd restarts under running containers. Events of that time are kept and sent
//! when it is back: Docker learns in no other way that a container has ended.
//! (containerd-shim's own publisher does not reconnect.)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use containerd_shim::Context;
use containerd_shim::event::Event;
use containerd_shim::protos::api::ForwardRequest;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::protos::shim::event::Envelope;
use containerd_shim::protos::shim_async::{Client, EventsClient};
use containerd_shim::protos::ttrpc;
use tokio::sync::{Mutex, Notify};

use crate::any_message;

/// How long an event is kept for containerd.
const KEEP_TIME: Duration = Duration::from_secs(120);
/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long until the next attempt.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// containerd's event service, for one namespace.
pub struct Events {
    queue: Arc<Queue>,
    namespace: String,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<(Instant, Envelope)>>,
    /// An event was added or removed.
    changed: Notify,
}

impl Events {
    /// Connects to containerd's ttrpc socket.
    pub async fn connect(address: &str, namespace: &str) -> Result<Self> {
        let address = format!("unix://{}", address.trim_start_matches("unix://"));
        let client = client(&address)
            .await
            .with_context(|| format!("cannot reach containerd's event service at '{address}'"))?;
        let queue = Arc::new(Queue::default());
        tokio::spawn(deliver_all(Arc::clone(&queue), address, client));
        Ok(Self { queue, namespace: namespace.to_owned() })
    }

    /// Queues the event for delivery.
    pub async fn publish(&self, event: impl Event + Message) {
        let topic = event.topic();
        let event = match any_message::pack(any_message::EVENTS, &event) {
            Ok(event) => event,
            Err(error) => return log::error!("cannot encode the event {topic}: {error}"),
        };
        let envelope = Envelope {
            timestamp: MessageField::some(Timestamp::now()),
            namespace: self.namespace.clone(),
            topic,
            event: MessageField::some(event),
            ..Envelope::default()
        };
        self.queue.waiting.lock().await.push_back((Instant::now(), envelope));
        self.queue.changed.notify_waiters();
    }

    /// Waits until all events are delivered, at most for `limit`.
    pub async fn drain(&self, limit: Duration) {
        let empty = async {
            loop {
                let changed = self.queue.changed.notified();
                if self.queue.waiting.lock().await.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(limit, empty).await;
    }
}

async fn client(address: &str) -> ttrpc::Result<EventsClient> {
    Client::connect(address).await.map(EventsClient::new)
}

async fn deliver_all(queue: Arc<Queue>, address: String, mut client: EventsClient) {
    loop {
        let changed = queue.changed.notified();
        let Some((since, envelope)) = queue.waiting.lock().await.front().cloned() else {
            changed.await;
            continue;
        };
        let topic = envelope.topic.clone();
        let request = ForwardRequest { envelope: MessageField::some(envelope), ..ForwardRequest::default() };
        let context: Context = ttrpc::context::with_duration(ATTEMPT_TIMEOUT);
        match client.forward(context, &request).await {
            Ok(_) => {}
            Err(ttrpc::Error::RpcStatus(status)) if status.code() != ttrpc::Code::DEADLINE_EXCEEDED => {
                log::warn!("containerd rejected the event {topic}: {}", status.message);
            }
            Err(error) if since.elapsed() < KEEP_TIME => {
                log::debug!("the event {topic} is waiting for containerd: {error}");
                tokio::time::sleep(RETRY_INTERVAL).await;
                if let Ok(connected) = self::client(&address).await {
                    client = connected;
                }
                continue;
            }
            Err(error) => log::warn!("cannot deliver the event {topic}: {error}"),
        }
        queue.waiting.lock().await.pop_front();
        queue.changed.notify_waiters();
    }
}
