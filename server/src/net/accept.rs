//! Accepts connections, serves them, and drains them at the end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};

use super::client_timeouts::{ClientTimeouts, TimedStream};
use super::connections::Connections;
use super::phase::Phase;
use super::pulse::Pulse;
use crate::router::Router;
use crate::settings::Settings;

/// How long to pause when no connection can be accepted: no descriptors, no memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often to check whether work after the last response is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Serves `listener` until `stop` completes and for the drain delay, then finishes in-flight
/// requests within the grace period. As long as connections are accepted, `pulse` beats.
pub async fn serve(
    listener: TcpListener,
    router: Arc<Router>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
    mut pulse: Pulse<impl Fn()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None).half_close(true);
    // The buffer also bounds what of a response is read ahead of a slow client.
    http.max_header_size(settings.max_header_size).max_buf_size(settings.max_header_size);
    let timeouts = ClientTimeouts {
        header: settings.header_timeout,
        idle: settings.idle_timeout,
        write: settings.write_timeout,
    };
    let connections = Connections::new(settings.max_connections);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(async {
        stop.await;
        router.begin_stopping();
        tokio::time::sleep(settings.drain_delay).await;
    });
    loop {
        let accepted = pulse.during(async {
            tokio::select! {
                accepted = listener.accept() => Some(accepted),
                () = &mut stop => None,
            }
        });
        let Some(accepted) = accepted.await else { break };
        let (stream, peer) = match accepted {
            // IPv4 addresses arrive as those of IPv6, too.
            Ok((stream, address)) => (stream, address.ip().to_canonical()),
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let place = pulse.during(async {
            tokio::select! {
                place = connections.place() => Some(place),
                () = &mut stop => None,
            }
        });
        let Some(place) = place.await else { break };
        let stream = timed(stream, timeouts);
        let phase = stream.phase();
        let connection = graceful.watch(connection(&http, stream, peer, phase.clone(), Arc::clone(&router)));
        connections.serve(place, phase, async move {
            if let Err(error) = connection.await {
                log::debug!("connection closed: {error}");
            }
        });
    }
    // From here on, new connections are refused.
    drop(listener);
    drain(graceful, &router, settings.grace_period).await;
}

fn timed(stream: TcpStream, timeouts: ClientTimeouts) -> TimedStream {
    // Responses are written whole; waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("TCP_NODELAY: {error}");
    }
    TimedStream::new(stream, timeouts)
}

fn connection(
    http: &http1::Builder,
    stream: TimedStream,
    peer: IpAddr,
    phase: Phase,
    router: Arc<Router>,
) -> impl GracefulConnection<Error = hyper::Error> + use<> {
    let service = service_fn(move |request| {
        let (request, in_request) = phase.begin_request(request);
        let router = Arc::clone(&router);
        async move { Ok::<_, Infallible>(in_request.until_sent(router.answer(request, peer).await)) }
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
