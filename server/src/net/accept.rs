//! Accepts connections, serves them, and drains them at the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::client_timeouts::{ClientTimeouts, TimedStream};
use crate::router::Router;
use crate::settings::Settings;

/// How long to pause when no connection can be accepted: no descriptors, no memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often to check whether work after the last response is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Serves `listener` until `stop` completes, then finishes in-flight requests within
/// the grace period.
pub async fn serve(
    listener: TcpListener,
    router: Arc<Router>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None).half_close(true);
    let timeouts = ClientTimeouts { header: settings.header_timeout, idle: settings.idle_timeout };
    let connections = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let connection = graceful.watch(connection(&http, stream, timeouts, Arc::clone(&router)));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("connection closed: {error}");
            }
            drop(permit);
        });
    }
    // From here on, new connections are refused.
    drop(listener);
    drain(graceful, &router, settings.grace_period).await;
}

fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    timeouts: ClientTimeouts,
    router: Arc<Router>,
) -> impl GracefulConnection<Error = hyper::Error> + use<> {
    // Responses are written whole; waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("TCP_NODELAY: {error}");
    }
    let stream = TimedStream::new(stream, timeouts);
    let phase = stream.phase();
    let service = service_fn(move |request| {
        let (router, in_request) = (Arc::clone(&router), phase.begin_request());
        async move { Ok::<_, Infallible>(in_request.until_sent(router.answer(request).await)) }
    });
    http.serve_connection(TokioIo::new(stream), service)
}

async fn drain(graceful: GracefulShutdown, router: &Router, grace_period: Duration) {
    let end = Instant::now() + grace_period;
    let finished = async {
        graceful.shutdown().await;
        // Work that pages started with `ctx.waitUntil`.
        while router.unfinished_renders() > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    if tokio::time::timeout_at(end.into(), finished).await.is_err() {
        log::warn!(
            "stopped with requests in flight: they took longer than {grace_period:?} (SSR_GRACE_PERIOD)"
        );
    }
}
