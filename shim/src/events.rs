//! Tells containerd what happens to containers, in the order in which it happens.

use anyhow::{Context as _, Result};
use containerd_shim::Context;
use containerd_shim::event::Event;
use containerd_shim::publisher::RemotePublisher;

/// The way to containerd's event service, for one namespace.
pub struct Events {
    publisher: RemotePublisher,
    namespace: String,
}

impl Events {
    /// Connects to containerd's ttrpc socket.
    pub async fn connect(address: &str, namespace: &str) -> Result<Self> {
        let publisher = RemotePublisher::new(address)
            .await
            .with_context(|| format!("cannot reach containerd's event service at '{address}'"))?;
        Ok(Self { publisher, namespace: namespace.to_owned() })
    }

    /// Hands the event over for delivery. One that cannot be delivered is logged:
    /// containerd asks for the state when it comes back.
    pub async fn publish(&self, event: impl Event) {
        let topic = event.topic();
        let published =
            self.publisher.publish(Context::default(), &topic, &self.namespace, Box::new(event)).await;
        if let Err(error) = published {
            log::warn!("the event {topic} was not delivered: {error}");
        }
    }
}
