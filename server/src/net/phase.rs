//! What a connection waits for: its client, or this server. The stream's timeouts depend
//! on it, and the choice of the connection that is closed when there are too many.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::body::Body;

/// A connection's phase, shared by its stream, its request and its response. The phases
/// follow each other in a circle and are counted, so that each phase of each request has
/// a number of its own.
#[derive(Debug, Clone)]
pub struct Phase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: AtomicUsize,
    /// When the client's turn began, in milliseconds of [`clock`]; or [`OURS`].
    clients_turn: AtomicU64,
    /// Whether a request's body was refused or given up before its end.
    body_left: AtomicBool,
}

const PHASES: usize = 4;
/// The client may begin a request.
pub const IDLE: usize = 0;
/// A request's head arrives.
pub const HEAD: usize = 1;
/// A request's body arrives.
const BODY: usize = 2;
/// A request is being answered, for as long as that takes.
const ANSWER: usize = 3;

/// It is this server's turn.
const OURS: u64 = u64::MAX;

/// Milliseconds since some time in the past.
fn clock() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(OURS)
}

impl Phase {
    /// The phase of a new connection, whose first head is due.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            number: AtomicUsize::new(HEAD),
            clients_turn: AtomicU64::new(clock()),
            body_left: AtomicBool::new(false),
        }))
    }

    /// The number of the current phase.
    pub fn now(&self) -> usize {
        self.0.number.load(Ordering::Relaxed)
    }

    /// The kind of a phase with this number.
    pub fn kind(number: usize) -> usize {
        number % PHASES
    }

    /// Goes on to the next phase of this kind, unless it is the current one.
    pub fn advance(&self, kind: usize) {
        // The phases of a connection change on the task that serves it.
        let now = self.now();
        let ahead = (kind + PHASES - now % PHASES) % PHASES;
        if ahead > 0 {
            self.0.number.store(now + ahead, Ordering::Relaxed);
            self.set_turn(kind != ANSWER);
        }
    }

    fn set_turn(&self, clients: bool) {
        self.0.clients_turn.store(if clients { clock() } else { OURS }, Ordering::Relaxed);
    }

    /// To be called when the client stops or resumes accepting what is sent to it.
    pub fn set_stalled(&self, stalled: bool) {
        if stalled || Self::kind(self.now()) == ANSWER {
            self.set_turn(stalled);
        }
    }

    /// For how long the connection has waited for its client; `None` if it is this server's
    /// turn.
    pub fn client_waits(&self) -> Option<Duration> {
        let since = self.0.clients_turn.load(Ordering::Relaxed);
        (since != OURS).then(|| Duration::from_millis(clock().saturating_sub(since)))
    }

    /// Whether the client may still be sending a body that nobody will read.
    pub fn body_left(&self) -> bool {
        self.0.body_left.load(Ordering::Relaxed)
    }

    /// To be called when a request's head has arrived.
    pub fn begin_request(&self, request: Request<Incoming>) -> (Request<RequestBody>, InRequest) {
        let has_body = !request.body().is_end_stream();
        self.advance(if has_body { BODY } else { ANSWER });
        let receiving = has_body.then(|| self.clone());
        (request.map(|body| RequestBody { body, receiving, ended: false }), InRequest(self.clone()))
    }
}

/// A request's body. The client's turn ends when it is dropped.
pub struct RequestBody {
    body: Incoming,
    /// The connection's phase, if there is a body at all.
    receiving: Option<Phase>,
    /// Whether its end has been seen.
    ended: bool,
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(phase) = &self.receiving {
            if !self.ended && !self.body.is_end_stream() {
                phase.0.body_left.store(true, Ordering::Relaxed);
            }
            phase.advance(ANSWER);
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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

#[cfg(test)]
impl Phase {
    /// A request without a body.
    pub fn begin_answer(&self) -> InRequest {
        self.advance(ANSWER);
        InRequest(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_and_each_has_a_number_of_its_own() {
        let phase = Phase::new();
        let mut numbers = vec![phase.now()];
        for kind in [ANSWER, IDLE, ANSWER, IDLE, HEAD, BODY, ANSWER] {
            phase.advance(kind);
            assert_eq!(Phase::kind(phase.now()), kind);
            numbers.push(phase.now());
        }
        phase.advance(ANSWER);
        assert_eq!(Some(&phase.now()), numbers.last());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn a_connection_waits_for_its_client_except_while_it_is_answered() {
        let phase = Phase::new();
        for (kind, waits) in [(BODY, true), (ANSWER, false), (IDLE, true), (HEAD, true), (ANSWER, false)] {
            phase.advance(kind);
            assert_eq!(phase.client_waits().is_some(), waits, "{kind}");
        }
        phase.set_stalled(true);
        assert!(phase.client_waits().is_some());
        phase.set_stalled(false);
        assert!(phase.client_waits().is_none());
        // Its last bytes are still being sent.
        phase.advance(IDLE);
        phase.set_stalled(true);
        phase.set_stalled(false);
        assert!(phase.client_waits().is_some());
    }
}
