//! Tells containerd what happens to containers, in the order in which it happens.
//!
//! containerd is restarted under running containers. What happens meanwhile waits
//! here and is told when it is back: Docker learns of a container's end in no
//! other way. (containerd-shim's own publisher does not connect again.)

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

/// How long an event waits for containerd.
const KEPT: Duration = Duration::from_secs(120);
/// How long one attempt may take, and how long until the next.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// The way to containerd's event service, for one namespace.
pub struct Events {
    queue: Arc<Queue>,
    namespace: String,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<(Instant, Envelope)>>,
    /// Something was put into the queue, or taken out.
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

    /// Hands the event over for delivery.
    pub async fn publish(&self, event: impl Event + Message) {
        let topic = event.topic();
        let event = match any_message::pack(any_message::EVENTS, &event) {
            Ok(event) => event,
            Err(error) => return log::error!("the event {topic} cannot be written: {error}"),
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

    /// Waits until everything is delivered, at most so long.
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
        let context: Context = ttrpc::context::with_duration(ATTEMPT);
        match client.forward(context, &request).await {
            Ok(_) => {}
            Err(ttrpc::Error::RpcStatus(status)) if status.code() != ttrpc::Code::DEADLINE_EXCEEDED => {
                log::warn!("containerd refuses the event {topic}: {}", status.message);
            }
            Err(error) if since.elapsed() < KEPT => {
                log::debug!("the event {topic} waits for containerd: {error}");
                tokio::time::sleep(PAUSE).await;
                if let Ok(connected) = self::client(&address).await {
                    client = connected;
                }
                continue;
            }
            Err(error) => log::warn!("the event {topic} was not delivered: {error}"),
        }
        queue.waiting.lock().await.pop_front();
        queue.changed.notify_waiters();
    }
}
