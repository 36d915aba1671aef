//! The kinds of modules that are served.

pub mod load;
pub mod snapshot;

use crate::abi::error::RenderError;
use crate::abi::response::ResponseSink;

/// A loaded guest that renders pages, on any number of threads at the same time.
pub trait Guest: Send + Sync + 'static {
    /// Renders the request in `input`; docs/render-abi.md describes its fields. The
    /// response goes to `sink`. When a render fails after part of the response has been
    /// sent, that response stays incomplete.
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError>;

    /// Whether it takes requests' bodies as they arrive, from [`ResponseSink::body`], instead of
    /// among the fields.
    fn streams_bodies(&self) -> bool {
        false
    }

    /// Gives memory back that finished renders left for the next one, if that is all that the next
    /// one loses. No render may run meanwhile.
    fn rest(&self) {}

    /// Frees the memory that renders have used. The next render loads the guest again.
    fn unload(&self);
}
