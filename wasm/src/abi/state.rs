//! What one call into a guest has: its limits, its clock, and the response so far.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use log::Level;
use tokio::sync::mpsc;
use wasmtime::{Memory, ResourceLimiter, Result};

use super::error::{Failure, RenderError, Stop};
use super::memory_budget::MemoryBudget;
use super::response::{ResponseHead, ResponsePart, ResponseSink};

/// The origin of the monotonic clock.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Largest chunk of a streamed response, in bytes. Larger writes are sent in several.
const MAX_CHUNK: usize = 64 << 10;

/// Most randomness between two looks at the clock, in bytes.
const MAX_RANDOM: usize = 1 << 20;

/// Most text of one log call or of a failure, in bytes. The rest is left out.
pub(super) const MAX_TEXT: usize = 64 << 10;

/// Virtual time that passes at each look at a build's clock, in nanoseconds.
const BUILD_TICK: u64 = 1_000;

/// The clock and randomness of a build. Both follow from its inputs alone, so that
/// equal input gives an equal module.
#[derive(Debug)]
struct BuildTime {
    /// The wall clock at the start, in nanoseconds since 1970.
    start: u64,
    /// Nanoseconds since: waits, and a tick for each look at the clock.
    elapsed: u64,
    /// The random number generator's state.
    random: u64,
}

/// The state of one call into a guest.
pub struct GuestState {
    /// The guest's memory, once it is instantiated.
    pub memory: Option<Memory>,
    budget: MemoryBudget,
    timeout: Duration,
    deadline: Instant,
    /// Precedes each log line.
    id: Arc<str>,
    /// `None` in requests, which see real time and randomness.
    build: Option<BuildTime>,
    parts: Option<mpsc::Sender<ResponsePart>>,
    runtime: Option<tokio::runtime::Handle>,
    head: Option<ResponseHead>,
    body: Vec<u8>,
    /// The sizes of the parts of a streamed response that nobody has taken, the oldest
    /// first; and of some that have been taken since the last look.
    ahead: VecDeque<usize>,
    streaming: bool,
    ended: bool,
    failure: Option<Failure>,
}

impl GuestState {
    /// For a call that may take `timeout`, whose memory and what the host keeps for it may
    /// take `memory_limit` bytes, and whose log lines begin with `id`. A response goes
    /// nowhere.
    pub fn new(id: Arc<str>, timeout: Duration, memory_limit: usize) -> Self {
        Self {
            memory: None,
            budget: MemoryBudget::new(memory_limit),
            timeout,
            deadline: Instant::now() + timeout,
            id,
            build: None,
            parts: None,
            runtime: None,
            head: None,
            body: Vec::new(),
            ahead: VecDeque::new(),
            streaming: false,
            ended: false,
            failure: None,
        }
    }

    /// For a render whose response goes to `sink`.
    pub fn for_response(sink: ResponseSink, timeout: Duration, memory_limit: usize) -> Self {
        let ResponseSink { id, parts, runtime, .. } = sink;
        Self { parts: Some(parts), runtime: Some(runtime), ..Self::new(id, timeout, memory_limit) }
    }

    /// For a build, whose clock starts at `start` (nanoseconds since 1970) and
    /// advances only as its code waits or looks at it.
    pub fn at_build_time(mut self, start: u64) -> Self {
        self.build = Some(BuildTime { start, elapsed: 0, random: 0 });
        self
    }

    /// The time in nanoseconds: wall-clock time since 1970, or monotonic.
    pub fn now(&mut self, wall_clock: bool) -> u64 {
        if let Some(build) = &mut self.build {
            build.elapsed += BUILD_TICK;
            return build.elapsed + if wall_clock { build.start } else { 0 };
        }
        let time = if wall_clock {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
        } else {
            START.elapsed()
        };
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Fails when the time is up. A signal ends compiled code only, so a guest that is
    /// nearly always in host functions must be ended by these. Epochs end builds.
    pub(super) fn check_time(&self) -> Result<()> {
        if self.build.is_none() && Instant::now() >= self.deadline {
            return Err(Stop::with(RenderError::TimedOut(self.timeout)));
        }
        Ok(())
    }

    /// Counts `bytes` that the host keeps until the end of the call.
    pub fn keep(&mut self, bytes: usize) -> Result<()> {
        self.budget.keep(bytes)
    }

    /// Fills `bytes` with randomness.
    pub fn fill_random(&mut self, bytes: &mut [u8]) -> Result<()> {
        match &mut self.build {
            None => {
                for part in bytes.chunks_mut(MAX_RANDOM) {
                    self.check_time()?;
                    getrandom::fill(part)
                        .map_err(|error| Stop::trap(format!("the system has no randomness: {error}")))?;
                }
                Ok(())
            }
            Some(BuildTime { random: state, .. }) => {
                for byte in bytes {
                    // Knuth's linear congruential generator (MMIX); the high bits are the better ones.
                    *state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *byte = (*state >> 56) as u8;
                }
                Ok(())
            }
        }
    }

    /// The limiter for the store.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.budget
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The failure that the guest reported, if any.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether the response is complete.
    pub fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn respond(&mut self, status: u32, headers: String, streaming: bool) -> Result<()> {
        if self.head.is_some() || self.streaming || self.ended {
            return Err(Stop::trap("it began a second response"));
        }
        let size = headers.len();
        let head = ResponseHead { status, headers };
        self.streaming = streaming;
        if streaming {
            return self.send_streamed(size, || ResponsePart::Head(head));
        }
        self.budget.keep(size)?;
        self.head = Some(head);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.streaming {
            return self.budget.append(&mut self.body, bytes);
        }
        for chunk in bytes.chunks(MAX_CHUNK) {
            self.send_streamed(chunk.len(), || ResponsePart::Chunk(Bytes::copy_from_slice(chunk)))?;
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let part = match self.head.take() {
            Some(head) => ResponsePart::Whole(head, Bytes::from(std::mem::take(&mut self.body))),
            None if self.streaming && !self.ended => ResponsePart::End,
            None => return Err(Stop::with(RenderError::Incomplete)),
        };
        self.ended = true;
        self.send(part)
    }

    /// Sends a part of `size` bytes, which count until somebody takes them.
    fn send_streamed(&mut self, size: usize, part: impl FnOnce() -> ResponsePart) -> Result<()> {
        if let Some(parts) = &self.parts {
            let waiting = parts.max_capacity() - parts.capacity();
            while self.ahead.len() > waiting {
                self.budget.release(self.ahead.pop_front().unwrap_or_default());
            }
        }
        self.budget.keep(size)?;
        self.ahead.push_back(size);
        self.send(part())
    }

    /// Sends a part. A client that reads slowly occupies a render thread, so waiting for
    /// it counts towards the time limit.
    fn send(&mut self, part: ResponsePart) -> Result<()> {
        let (Some(parts), Some(runtime)) = (&self.parts, &self.runtime) else { return Ok(()) };
        let part = match parts.try_send(part) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stop::with(RenderError::ClientGone)),
            Err(mpsc::error::TrySendError::Full(part)) => part,
        };
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        match runtime.block_on(async { tokio::time::timeout(remaining, parts.send(part)).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::with(RenderError::ClientGone)),
            Err(_) => Err(Stop::with(RenderError::TimedOut(self.timeout))),
        }
    }

    pub(super) fn sleep(&mut self, milliseconds: f64) -> Result<()> {
        if let Some(build) = &mut self.build {
            build.elapsed = build.elapsed.saturating_add((milliseconds.max(0.0) * 1e6) as u64);
            return if u128::from(build.elapsed) < self.timeout.as_nanos() {
                Ok(())
            } else {
                Err(Stop::with(RenderError::TimedOut(self.timeout)))
            };
        }
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let wanted = Duration::try_from_secs_f64(milliseconds.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
        std::thread::sleep(wanted.min(remaining));
        if wanted >= remaining {
            return Err(Stop::with(RenderError::TimedOut(self.timeout)));
        }
        Ok(())
    }

    /// Writes `text` to the log, each line preceded by the request's id. Levels: 0 error,
    /// 1 warning, 2 info, others debug.
    pub fn log(&self, level: u32, text: &str) {
        let level = match level {
            0 => Level::Error,
            1 => Level::Warn,
            2 => Level::Info,
            _ => Level::Debug,
        };
        for line in text.lines() {
            log::log!(level, "[{}] {line}", self.id);
        }
    }
}
