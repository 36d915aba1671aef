//! A request's way: an asset if there is one at its path, otherwise a page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::mpsc;

use crate::asset_response;
use crate::assets::{Assets, Found};
use crate::guest::Part;
use crate::render::{RenderRequest, Renderer};
use crate::response::{self, Body};
use crate::settings::Settings;

const REQUEST_ID: &str = "x-request-id";

/// Answers requests.
pub struct Router {
    assets: Assets,
    renderer: Renderer,
    immutable: String,
    request_body: usize,
    client_timeout: Duration,
    access_log: bool,
    ids: RequestIds,
}

impl Router {
    /// Answers from `assets` and `renderer`.
    pub fn new(assets: Assets, renderer: Renderer, settings: &Settings) -> Self {
        Self {
            assets,
            renderer,
            immutable: settings.immutable.clone(),
            request_body: settings.request_body,
            client_timeout: settings.client_timeout,
            access_log: settings.access_log,
            ids: RequestIds::new(),
        }
    }

    /// Renders that are queued or run.
    pub fn unfinished_renders(&self) -> usize {
        self.renderer.unfinished()
    }

    /// Answers one request. Every response carries the request's id.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let id = self.ids.of(request.headers());
        let logged = self.access_log.then(|| format!("{} {}", request.method(), request.uri()));
        let mut response = self.route(request, &id).await;
        if let Ok(value) = HeaderValue::try_from(&*id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if let Some(what) = logged {
            let took = started.elapsed().as_secs_f64() * 1000.0;
            log::info!("[{id}] {what} {} {took:.1} ms", response.status().as_u16());
        }
        response
    }

    async fn route(&self, request: Request<Incoming>, id: &str) -> Response<Body> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return response::error_page(StatusCode::METHOD_NOT_ALLOWED, id);
        }
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let immutable = !self.immutable.is_empty() && path.starts_with(&self.immutable);
        match self.assets.find(path) {
            Found::Asset(asset) if is_read => asset_response::respond(asset, &request, immutable)
                .unwrap_or_else(|error| {
                    log::error!("[{id}] {path}: the asset cannot be read: {error}");
                    response::error_page(StatusCode::INTERNAL_SERVER_ERROR, id)
                }),
            Found::Directory if is_read => redirect_to_directory(&request),
            // Not a page either: a page here would be cached in an old asset's place.
            _ if immutable && is_read => response::error_page(StatusCode::NOT_FOUND, id),
            _ => self.page(request, id).await,
        }
    }

    async fn page(&self, request: Request<Incoming>, id: &str) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = match self.read(body).await {
            Ok(body) => body,
            Err(status) => return response::error_page(status, id),
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority =
            head.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or("localhost");
        let url = format!("{}://{authority}{path}", scheme(&head.headers));
        let asked = Instant::now();
        let submitted = self.renderer.submit(&RenderRequest {
            id,
            method: head.method.as_str(),
            url: &url,
            path,
            headers: &flatten(&head.headers),
            body: (!body.is_empty()).then_some(&body),
        });
        let Ok(mut parts) = submitted else {
            log::warn!("[{id}] {} {path}: answered 503: the queue is full (SSR_RENDER_QUEUE)", head.method);
            return response::error_page(StatusCode::SERVICE_UNAVAILABLE, id);
        };
        let (head, body) = match parts.recv().await {
            Some(Part::Whole(head, bytes)) => (head, RenderedBody::Whole(bytes)),
            Some(Part::Head(head)) => (head, RenderedBody::Streamed(parts)),
            Some(Part::Failed(error)) => return response::error_page(response::status_of(&error), id),
            Some(Part::Chunk(_) | Part::End) | None => {
                log::error!("[{id}] the render thread broke off");
                return response::error_page(StatusCode::INTERNAL_SERVER_ERROR, id);
            }
        };
        let mut response = match response::head(&head) {
            Ok(response) => response.map(|()| body.into_body()),
            Err(why) => {
                log::error!("[{id}] {path}: the site's response cannot be sent: {why}");
                return response::error_page(StatusCode::INTERNAL_SERVER_ERROR, id);
            }
        };
        response::add_render_time(response.headers_mut(), asked.elapsed());
        response
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, StatusCode> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        match tokio::time::timeout(self.client_timeout, Limited::new(body, self.request_body).collect()).await
        {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

enum RenderedBody {
    Whole(Bytes),
    Streamed(mpsc::Receiver<Part>),
}

impl RenderedBody {
    fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes) => response::full(bytes),
            Self::Streamed(parts) => {
                response::boxed(StreamBody::new(stream::unfold(Some(parts), |parts| async {
                    let mut parts = parts?;
                    match parts.recv().await {
                        Some(Part::Chunk(bytes)) => Some((Ok(Frame::data(bytes)), Some(parts))),
                        Some(Part::End) => None,
                        // An error here ends the connection, so that the client knows that the body is cut.
                        _ => Some((Err(std::io::Error::other("the render failed")), None)),
                    }
                })))
            }
        }
    }
}

/// The scheme by which the client came: a proxy in front says so.
fn scheme(headers: &HeaderMap) -> &'static str {
    match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        _ => "http",
    }
}

/// Headers as the render ABI has them; bytes beyond ASCII as Latin-1, which is
/// what they are in HTTP.
fn flatten(headers: &HeaderMap) -> String {
    let mut flat = String::with_capacity(512);
    for (name, value) in headers {
        flat.push_str(name.as_str());
        flat.push('\n');
        flat.extend(value.as_bytes().iter().map(|&byte| char::from(byte)));
        flat.push('\n');
    }
    flat
}

/// `/docs` to `/docs/`, so that relative links on the page work.
fn redirect_to_directory<B>(request: &Request<B>) -> Response<Body> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    // One slash at the front: two would name another host.
    let location = format!("/{}/{query}", request.uri().path().trim_matches('/'));
    let mut response = Response::new(response::full(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Ids for requests: what a proxy in front has chosen, or a number of our own.
struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self { start: RandomState::new().hash_one(0), count: AtomicU64::new(0) }
    }

    fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        match given.filter(|id| is_sensible(id)) {
            Some(id) => id.to_owned(),
            None => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                // An odd multiplier visits every number once: unique, and not guessable by counting.
                format!("{:016x}", self.start.wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            }
        }
    }
}

/// Whether an id from outside may go into the log and back.
fn is_sensible(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_redirected_within_the_site() {
        let location = |uri: &str| {
            let request = Request::get(uri).body(()).unwrap();
            redirect_to_directory(&request).headers()["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(location("/docs?a=1"), "/docs/?a=1");
        assert_eq!(location("//evil.example/docs"), "/evil.example/docs/");
    }

    #[test]
    fn a_proxys_request_id_is_kept_unless_it_is_odd() {
        let ids = RequestIds::new();
        let mut headers = HeaderMap::new();
        let own = ids.of(&headers);
        assert_ne!(own, ids.of(&headers));
        headers.insert(REQUEST_ID, HeaderValue::from_static("a-1"));
        assert_eq!(ids.of(&headers), "a-1");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b"));
        assert_eq!(ids.of(&headers).len(), 16);
    }
}
