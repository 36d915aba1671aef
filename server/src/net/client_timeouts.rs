//! How long a client may keep a connection waiting: for a request's head, between
//! requests, and while it accepts nothing of its response. hyper has one timeout for the
//! first two and none for the last, so this keeps time on the stream below it. (The
//! body's timeout is in `pages`, where the body is read.)

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::phase::{HEAD, IDLE, Phase};

/// How long the rest of a body that nobody wants is read and dropped. A connection that
/// is closed with unread bytes is reset, which can destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

/// Timeouts of one connection.
#[derive(Debug, Clone, Copy)]
pub struct ClientTimeouts {
    /// For a request's head to arrive, from its first byte or from the start of the
    /// connection.
    pub header: Duration,
    /// For the next request to begin.
    pub idle: Duration,
    /// For the client to accept some of what is sent to it.
    pub write: Duration,
}

/// A client's stream, on which reads and writes end when the client takes too long.
pub struct TimedStream {
    stream: TcpStream,
    timeouts: ClientTimeouts,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    /// The phase that the timer is set for.
    timed: usize,
    /// For writes; made when the client first keeps one waiting.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Whether the client keeps a write waiting.
    stalled: bool,
    /// Whether everything has been sent, and the rest of a body is awaited.
    lingering: bool,
}

impl TimedStream {
    /// A new connection, whose first request's head is due.
    pub fn new(stream: TcpStream, timeouts: ClientTimeouts) -> Self {
        let timer = Box::pin(tokio::time::sleep(timeouts.header));
        let phase = Phase::new();
        Self {
            stream,
            timeouts,
            timed: phase.now(),
            phase,
            timer,
            write_timer: None,
            stalled: false,
            lingering: false,
        }
    }

    /// The connection's phase, shared with the stream.
    pub fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Ready when the client has taken too long.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What counts then is whether it reads.
        if self.stalled {
            return Poll::Pending;
        }
        let now = self.phase.now();
        let (timeout, result) = match Phase::kind(now) {
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

    /// What becomes of a write that had this result.
    fn check_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if std::mem::take(&mut self.stalled) {
                self.phase.set_stalled(false);
            }
            return written;
        }
        let timeout = self.timeouts.write;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if !self.stalled {
            self.stalled = true;
            self.phase.set_stalled(true);
            timer.as_mut().reset(Instant::now() + timeout);
        }
        ready!(timer.as_mut().poll(cx));
        log::debug!("a client accepted nothing for {timeout:?} (SSR_WRITE_TIMEOUT)");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
                if buffer.filled().len() > before && Phase::kind(self.phase.now()) == IDLE {
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
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.phase.body_left() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = true;
            self.timer.as_mut().reset(Instant::now() + LINGER);
        }
        let mut dropped = [MaybeUninit::uninit(); 8 << 10];
        loop {
            let mut buffer = ReadBuf::uninit(&mut dropped);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
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
        pair_that(ClientTimeouts { header, idle, write: SHORT }).await
    }

    async fn pair_that(timeouts: ClientTimeouts) -> (TimedStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (TimedStream::new(stream, timeouts), client)
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
        let in_request = phase.begin_answer();
        let waited = tokio::time::timeout(4 * SHORT, stream.read(&mut [0])).await;
        assert!(waited.is_err(), "a request in progress was cut off");
        drop(in_request);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_first_byte_of_a_head_ends_idleness() {
        let (mut stream, mut client) = pair(LONG, SHORT).await;
        drop(stream.phase().begin_answer());
        client.write_all(b"G").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'G');
        let waited = tokio::time::timeout(4 * SHORT, stream.read(&mut [0])).await;
        assert!(waited.is_err(), "the idle timeout cut off a head");
    }

    /// Sends to a client for as long as that succeeds.
    async fn send_to(stream: &mut TimedStream) -> io::ErrorKind {
        loop {
            if let Err(error) = stream.write_all(&[b'x'; 1 << 16]).await {
                return error.kind();
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (mut stream, _client) = pair(LONG, LONG).await;
        let _in_request = stream.phase().begin_answer();
        let failed = tokio::time::timeout(LONG, send_to(&mut stream)).await;
        assert_eq!(failed.expect("the write goes on for ever"), io::ErrorKind::TimedOut);
        assert!(stream.phase().client_waits().is_some());
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_not_and_neither_is_one_whose_idle_time_begins_meanwhile() {
        let (idle, write) = (SHORT / 3, 30 * SHORT);
        let (mut stream, mut client) = pair_that(ClientTimeouts { header: LONG, idle, write }).await;
        drop(stream.phase().begin_answer());
        let reads = tokio::spawn(async move {
            let mut buffer = vec![0; 4 << 20];
            for _ in 0..20 {
                tokio::time::sleep(2 * SHORT).await;
                assert!(client.read(&mut buffer).await.unwrap() > 0);
            }
            client
        });
        let sends = async {
            tokio::select! {
                kind = send_to(&mut stream) => panic!("{kind}"),
                client = reads => client.unwrap(),
            }
        };
        drop(sends.await);
    }
}
