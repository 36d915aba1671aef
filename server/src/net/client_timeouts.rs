//! How long a client may keep a connection waiting: for a request's head, and between
//! requests. hyper has one timeout for both, so this keeps time on the stream below it.
//! (The body's timeout is in `pages`, where the body is read.)

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::body::Body;

/// Timeouts of one connection.
#[derive(Debug, Clone, Copy)]
pub struct ClientTimeouts {
    /// For a request's head to arrive, from its first byte or from the start of the
    /// connection.
    pub header: Duration,
    /// For the next request to begin.
    pub idle: Duration,
}

/// What the connection waits for: a count of phases, which follow each other in a
/// circle, so that each phase of each request has a number of its own.
#[derive(Debug, Clone)]
pub struct Phase(Arc<AtomicUsize>);

const PHASES: usize = 3;
/// The client may begin a request.
const IDLE: usize = 0;
/// A request's head arrives.
const HEAD: usize = 1;
/// A request is being answered, for as long as that takes.
const REQUEST: usize = 2;

impl Phase {
    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on to the next phase of this kind, unless it is the current one.
    fn advance(&self, kind: usize) {
        // The phases of a connection change on the task that serves it.
        let now = self.now();
        self.0.store(now + (kind + PHASES - now % PHASES) % PHASES, Ordering::Relaxed);
    }

    /// To be called when a request's head has arrived.
    pub fn begin_request(&self) -> InRequest {
        self.advance(REQUEST);
        InRequest(self.clone())
    }
}

/// A request in progress, until the value is dropped.
pub struct InRequest(Phase);

impl InRequest {
    /// The response, whose body ends the request when it is sent or given up.
    pub fn until_sent(self, response: Response<Body>) -> Response<SentBody> {
        response.map(|body| SentBody { body, _in_request: self })
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.advance(IDLE);
    }
}

pin_project! {
    /// A body that ends its request when it is dropped.
    pub struct SentBody {
        #[pin]
        body: Body,
        _in_request: InRequest,
    }
}

impl http_body::Body for SentBody {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client's stream, on which reads end when the client takes too long.
pub struct TimedStream {
    stream: TcpStream,
    timeouts: ClientTimeouts,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    /// The phase that the timer is set for.
    timed: usize,
}

impl TimedStream {
    /// A new connection, whose first request's head is due.
    pub fn new(stream: TcpStream, timeouts: ClientTimeouts) -> Self {
        let timer = Box::pin(tokio::time::sleep(timeouts.header));
        Self { stream, timeouts, phase: Phase(Arc::new(AtomicUsize::new(HEAD))), timer, timed: HEAD }
    }

    /// The connection's phase, shared with the stream.
    pub fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Ready when the client has taken too long.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.phase.now();
        let (timeout, result) = match now % PHASES {
            // The end of the stream: the connection is closed in an orderly way.
            IDLE => (self.timeouts.idle, Ok(())),
            HEAD => (self.timeouts.header, Err(io::ErrorKind::TimedOut.into())),
            _ => return Poll::Pending,
        };
        if self.timed != now {
            self.timed = now;
            self.timer.as_mut().reset(Instant::now() + timeout);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(result)
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && self.phase.now() % PHASES == IDLE {
                    self.phase.advance(HEAD);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_expired(cx),
        }
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(60);

    async fn pair(header: Duration, idle: Duration) -> (TimedStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (TimedStream::new(stream, ClientTimeouts { header, idle }), client)
    }

    #[tokio::test]
    async fn a_head_that_does_not_arrive_in_time_is_an_error_even_if_it_trickles() {
        let (mut stream, mut client) = pair(SHORT, LONG).await;
        let trickle = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 5).await;
            }
        });
        let error = loop {
            if let Err(error) = stream.read_u8().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(stream);
        trickle.await.unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_ends_in_an_orderly_way_and_a_request_may_take_long() {
        let (mut stream, _client) = pair(LONG, SHORT).await;
        let phase = stream.phase();
        let in_request = phase.begin_request();
        let waited = tokio::time::timeout(4 * SHORT, stream.read(&mut [0])).await;
        assert!(waited.is_err(), "a request in progress was cut off");
        drop(in_request);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_first_byte_of_a_head_ends_idleness() {
        let (mut stream, mut client) = pair(LONG, SHORT).await;
        drop(stream.phase().begin_request());
        client.write_all(b"G").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'G');
        let waited = tokio::time::timeout(4 * SHORT, stream.read(&mut [0])).await;
        assert!(waited.is_err(), "the idle timeout cut off a head");
    }

    #[test]
    fn phases_follow_each_other_and_each_has_a_number_of_its_own() {
        let phase = Phase(Arc::new(AtomicUsize::new(HEAD)));
        let mut numbers = vec![phase.now()];
        for kind in [REQUEST, IDLE, REQUEST, IDLE, HEAD, REQUEST] {
            phase.advance(kind);
            assert_eq!(phase.now() % PHASES, kind);
            numbers.push(phase.now());
        }
        phase.advance(REQUEST);
        assert_eq!(Some(&phase.now()), numbers.last());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
}
