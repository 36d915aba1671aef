//! Asks the render pool for a page.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use ssr_wasm::abi::request::{RenderRequest, flatten};
use ssr_wasm::abi::response::ResponsePart;
use ssr_wasm::pool::RenderPool;
use tokio::sync::mpsc;

use super::error_page::{error_page, status_of};
use super::request_body::{BodyBudget, ReadBody};
use super::response;
use crate::body::{self, Body};
use crate::net::RequestBody;
use crate::settings::Settings;
use crate::target;

/// What a request does not say itself.
pub struct Origin<'a> {
    /// Its id.
    pub id: &'a str,
    /// The address of its client, or of the client's proxy.
    pub client: IpAddr,
    /// Its whole URL.
    pub url: &'a str,
}

/// The site's pages.
pub struct Pages {
    pool: RenderPool,
    bodies: BodyBudget,
}

impl Pages {
    /// Pages that `pool` renders.
    pub fn new(pool: RenderPool, settings: &Settings) -> Self {
        Self { pool, bodies: BodyBudget::new(settings) }
    }

    /// Renders that are queued or run.
    pub fn unfinished_renders(&self) -> usize {
        self.pool.unfinished()
    }

    /// For how long no render has ended, if that is longer than any may take.
    pub fn stalled_renders(&self) -> Option<Duration> {
        self.pool.stalled()
    }

    /// Renders the page that a request asks for.
    pub async fn answer(&self, request: Request<RequestBody>, from: &Origin<'_>) -> Response<Body> {
        let &Origin { id, client, url } = from;
        let (head, body) = request.into_parts();
        let what = || format!("[{id}] {} {}", head.method, head.uri.path());
        let read = match self.pool.streams_bodies() {
            true => self.bodies.stream(body).map(|stream| (ReadBody::default(), stream)),
            false => self.bodies.read(body, what).await.map(|body| (body, None)),
        };
        let (body, stream) = match read {
            Ok(read) => read,
            Err(status) => return error_page(status, id),
        };
        let path = target::path(&head.uri);
        let submitted_at = Instant::now();
        let request = RenderRequest {
            id,
            client: Some(client),
            method: head.method.as_str(),
            url,
            path: &path,
            headers: &flatten(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))),
            body: (!body.bytes.is_empty()).then_some(&body.bytes),
        };
        let Ok(mut parts) = self.pool.submit(&request, stream) else {
            log::warn!("[{id}] {} {path}: answered 503: the queue is full (SSR_RENDER_QUEUE)", head.method);
            return error_page(StatusCode::SERVICE_UNAVAILABLE, id);
        };
        // The bytes have been copied. Their room is free when the render has an answer: until
        // then it may still be waiting for a thread.
        let room = body.into_room();
        let first = parts.recv().await;
        drop(room);
        let (head, body) = match first {
            Some(ResponsePart::Whole(head, bytes)) => (head, body::full(bytes)),
            Some(ResponsePart::Head(head)) => (head, streamed(parts)),
            Some(ResponsePart::Failed(error)) => return error_page(status_of(&error), id),
            Some(ResponsePart::Chunk(_) | ResponsePart::End) | None => {
                log::error!("[{id}] the render thread broke off");
                return error_page(StatusCode::INTERNAL_SERVER_ERROR, id);
            }
        };
        let mut response = match response::from_site(&head) {
            Ok(response) => response.map(|()| body),
            Err(reason) => {
                log::error!("[{id}] {path}: cannot send the site's response: {reason}");
                return error_page(StatusCode::INTERNAL_SERVER_ERROR, id);
            }
        };
        response::add_render_time(response.headers_mut(), submitted_at.elapsed());
        response
    }
}

/// The body of a response that is sent as it is rendered.
fn streamed(parts: mpsc::Receiver<ResponsePart>) -> Body {
    body::boxed(StreamBody::new(stream::unfold(Some(parts), |parts| async {
        let mut parts = parts?;
        match parts.recv().await {
            Some(ResponsePart::Chunk(bytes)) => Some((Ok(Frame::data(bytes)), Some(parts))),
            Some(ResponsePart::End) => None,
            // An error closes the connection, which tells the client that the body is incomplete.
            _ => Some((Err(std::io::Error::other("the render failed")), None)),
        }
    })))
}
