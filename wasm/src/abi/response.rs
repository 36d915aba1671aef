//! A response on its way from the render to whoever asked.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::RenderError;
use super::request::BodyStream;

/// A response's status and headers as the site gave them, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u32,
    /// The headers, `name\nvalue\n` each.
    pub headers: String,
}

/// A part of a response.
#[derive(Debug)]
pub enum ResponsePart {
    /// A whole response.
    Whole(ResponseHead, Bytes),
    /// The head of a streamed response.
    Head(ResponseHead),
    /// A chunk of a streamed response's body.
    Chunk(Bytes),
    /// The end of a streamed response.
    End,
    /// There is no response, or no more of it.
    Failed(RenderError),
}

/// Where a render's response goes, and what is still to come of its request.
pub struct ResponseSink {
    /// The request's id, which precedes the render's log lines.
    pub id: Arc<str>,
    /// The client's address, or its proxy's, if there is a client.
    pub client: Option<IpAddr>,
    /// The request's body, if the guest takes it as it arrives and there is one.
    pub body: Option<BodyStream>,
    /// Receives the response.
    pub parts: mpsc::Sender<ResponsePart>,
    /// The runtime on which a streamed response waits for a slow client.
    pub runtime: tokio::runtime::Handle,
}
