//! A request's way: to an asset if there is one at its path, otherwise to a page.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::access_log::LoggedRequest;
use crate::assets::{self, Assets, Evidence, Found, HASHED_FILES, Sent};
use crate::body::{self, Body};
use crate::net::RequestBody;
use crate::pages::{Origin, Pages, bad_request, error_page};
use crate::probe;
use crate::request_id::{self, RequestIds};
use crate::settings::{Immutable, Settings, TrustedProxies};
use crate::target;

/// Answers requests.
pub struct Router {
    assets: Assets,
    pages: Pages,
    immutable: Immutable,
    trusted_proxies: TrustedProxies,
    /// Whether the log has said that a proxy is not trusted.
    named_untrusted: AtomicBool,
    access_log: bool,
    ids: RequestIds,
    /// Whether the server will soon accept nothing any more.
    stopping: AtomicBool,
}

impl Router {
    /// Answers from `assets` and `pages`.
    pub fn new(assets: Assets, pages: Pages, settings: &Settings) -> Self {
        Self {
            assets,
            pages,
            immutable: settings.immutable.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            named_untrusted: AtomicBool::new(false),
            access_log: settings.access_log,
            ids: RequestIds::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// From here on, connections end with their next response, and health checks fail.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Renders that are queued or run.
    pub fn unfinished_renders(&self) -> usize {
        self.pages.unfinished_renders()
    }

    /// For how long no render has ended, if that is longer than any may take.
    pub fn stalled_renders(&self) -> Option<Duration> {
        self.pages.stalled_renders()
    }

    /// Answers one request, which came from `peer`. Every response carries the request's id.
    pub async fn answer(&self, request: Request<RequestBody>, peer: IpAddr) -> Response<Body> {
        let id = self.ids.id_of(request.headers());
        let logged = self.access_log.then(|| LoggedRequest::begin(&request));
        // A panic would end the connection without an answer, and without a word of which
        // request it was.
        let stopping = self.stopping.load(Ordering::Relaxed);
        let answered = if stopping && is_health_check(&request) {
            Ok(error_page(StatusCode::SERVICE_UNAVAILABLE, &id))
        } else {
            AssertUnwindSafe(self.route(request, peer, &id)).catch_unwind().await
        };
        let mut response = answered.unwrap_or_else(|_| {
            log::error!("[{id}] the server panicked; this is a bug in containerd-shim-ssr, please report it");
            error_page(StatusCode::INTERNAL_SERVER_ERROR, &id)
        });
        if let Ok(value) = HeaderValue::try_from(&*id) {
            response.headers_mut().insert(request_id::HEADER, value);
        }
        if self.stopping.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(logged) = logged {
            logged.finish(&id, response.status());
        }
        response
    }

    async fn route(&self, request: Request<RequestBody>, peer: IpAddr, id: &str) -> Response<Body> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return error_page(StatusCode::METHOD_NOT_ALLOWED, id);
        }
        if self.trusted_proxies.ignores(peer, request.headers())
            && !self.named_untrusted.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "X-Forwarded-Proto from {} is ignored; if that is your proxy, name it in SSR_TRUSTED_PROXIES",
                peer.to_canonical()
            );
        }
        let scheme = self.trusted_proxies.scheme(peer, request.headers());
        let url = match target::url(&request, scheme) {
            Ok(url) => url,
            Err(error) => {
                log::debug!("[{id}] answered 400: {error}: {} {:?}", request.method(), request.headers());
                return bad_request(error.reason(), id);
            }
        };
        let from = Origin { id, client: peer.to_canonical(), url: url.as_str() };
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match self.assets.find(path) {
            Found::Asset(asset) if is_read => {
                let immutable = self.immutable.covers(path, || asset.has_hash);
                match assets::respond(&asset, &request, immutable) {
                    Ok(Sent::Response(response)) => response,
                    Ok(Sent::Refused) => error_page(StatusCode::NOT_FOUND, id),
                    Ok(Sent::Gone) => {
                        self.assets.forget(path);
                        self.without_asset(request, &from).await
                    }
                    Err(error) => {
                        log::error!("[{id}] {path}: cannot read the asset: {error}");
                        error_page(StatusCode::INTERNAL_SERVER_ERROR, id)
                    }
                }
            }
            Found::Directory if is_read => redirect_to_directory(&request),
            _ => self.without_asset(request, &from).await,
        }
    }

    /// Answers a request for whose path there is no file.
    async fn without_asset(&self, request: Request<RequestBody>, from: &Origin<'_>) -> Response<Body> {
        let path = request.uri().path();
        let by_name = || path.starts_with(HASHED_FILES) || assets::has_hash(path, Evidence::NameOnly);
        let of_a_release = self.immutable.covers(path, by_name);
        // Not a page: caches would keep it in place of an asset of another release.
        if of_a_release && matches!(*request.method(), Method::GET | Method::HEAD) {
            return error_page(StatusCode::NOT_FOUND, from.id);
        }
        self.pages.answer(request, from).await
    }
}

/// Whether a request is Kubernetes' or `ssr health`'s.
fn is_health_check<B>(request: &Request<B>) -> bool {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent == probe::USER_AGENT || agent.starts_with("kube-probe/"))
}

/// From `/docs` to `/docs/`, so that relative links on the page work.
fn redirect_to_directory<B>(request: &Request<B>) -> Response<Body> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    // With a single slash at the front: two would name another host.
    let location = format!("/{}/{query}", request.uri().path().trim_matches('/'));
    let mut response = Response::new(body::full(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
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
}
