//! The render ABI, from the host's side: what a site's module may call, and
//! what a call to it has given so far. docs/render-abi.md describes it.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use log::Level;
use tokio::sync::mpsc;
use wasmtime::{Caller, Engine, Linker, Memory, ResourceLimiter, Result};

use crate::wasi;

/// Where the clock that only counts begins.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The import module of the render ABI.
const IMPORTS: &str = "ssr_v1";

/// A response's status and headers, as the site gave them: nothing is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u32,
    /// The headers, `name\nvalue\n` each.
    pub headers: String,
}

/// A piece of a response, on its way from the render thread.
#[derive(Debug)]
pub enum Part {
    /// All of it.
    Whole(Head, Bytes),
    /// The head of a streamed response.
    Head(Head),
    /// A chunk of a streamed response's body.
    Chunk(Bytes),
    /// The end of a streamed response.
    End,
    /// There is no response, or no more of it.
    Failed(RenderError),
}

/// Why a render failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The site's code threw.
    #[error("{message}{}{stack}", if stack.is_empty() { "" } else { "\n" })]
    Threw {
        /// The error's name and message.
        message: String,
        /// Its stack; may be empty.
        stack: String,
    },
    /// Nothing could have completed the response any more.
    #[error("{0}")]
    Stalled(String),
    /// The time limit was reached.
    #[error("the render took longer than {0:?} (SSR_RENDER_TIMEOUT)")]
    TimedOut(Duration),
    /// The memory limit was reached.
    #[error("the render needed more than {} MiB of memory (SSR_RENDER_MEMORY)", .0 >> 20)]
    OutOfMemory(usize),
    /// Recursion went too deep.
    #[error("the call stack is exhausted: runaway recursion?")]
    StackExhausted,
    /// The module broke off.
    #[error("the module trapped: {0}")]
    Trapped(String),
    /// The module returned, and there was no complete response.
    #[error("the module returned without completing a response")]
    Incomplete,
    /// The wait for a render thread was too long.
    #[error("no render began within {0:?} (SSR_QUEUE_TIMEOUT)")]
    Queued(Duration),
    /// The site rested, and cannot go on.
    #[error("the site cannot be made ready again: {0}")]
    Asleep(String),
    /// Whoever asked has gone.
    #[error("the client went away")]
    ClientGone,
}

/// Ends a call from within a host function; becomes the [`RenderError`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Stop(pub RenderError);

/// A failure that the guest itself reported: the engine's name for the kind,
/// message and stack.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whether the site waits for what cannot happen, rather than having thrown.
    pub stalled: bool,
    /// The message.
    pub message: String,
    /// The stack; may be empty.
    pub stack: String,
}

impl From<Failure> for RenderError {
    fn from(failure: Failure) -> Self {
        let Failure { stalled, message, stack } = failure;
        if stalled { Self::Stalled(message) } else { Self::Threw { message, stack } }
    }
}

/// Bounds linear memory, and remembers that the bound was reached.
#[derive(Debug)]
struct MemoryLimit(usize);

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        if desired > self.0 {
            // Ends the render: an engine told that memory is short would only run
            // its out-of-memory paths, and hide the cause.
            return Err(wasmtime::Error::new(Stop(RenderError::OutOfMemory(self.0))));
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(desired <= 100_000)
    }
}

/// A build's clock and randomness. Both follow from its inputs alone, so that
/// equal input gives an equal module.
#[derive(Debug)]
struct BuildTime {
    /// The calendar's time at its start, in nanoseconds since 1970.
    start: u64,
    /// What has passed since, in nanoseconds: waits, and a little for each look at the clock.
    passed: u64,
    random: u64,
}

/// How much time passes between two looks at a build's clock, in nanoseconds.
const BUILD_TICK: u64 = 1_000;

/// What one call into a guest has: its limits, and what it gave.
pub struct GuestState {
    /// The guest's memory, once it is instantiated.
    pub memory: Option<Memory>,
    limit: MemoryLimit,
    time: Duration,
    deadline: Instant,
    /// Put before each line of the log.
    id: Arc<str>,
    /// Absent in requests, whose time and randomness are the world's.
    build: Option<BuildTime>,
    parts: Option<mpsc::Sender<Part>>,
    runtime: Option<tokio::runtime::Handle>,
    head: Option<Head>,
    body: Vec<u8>,
    streaming: bool,
    ended: bool,
    failure: Option<Failure>,
}

impl GuestState {
    /// For a call that takes at most `time` and `memory` bytes, and whose log
    /// lines begin with `id`. There is nowhere for a response to go.
    pub fn new(id: Arc<str>, time: Duration, memory: usize) -> Self {
        Self {
            memory: None,
            limit: MemoryLimit(memory),
            time,
            deadline: Instant::now() + time,
            id,
            build: None,
            parts: None,
            runtime: None,
            head: None,
            body: Vec::new(),
            streaming: false,
            ended: false,
            failure: None,
        }
    }

    /// For a build, whose clock starts at `time` (nanoseconds since 1970) and
    /// moves as its code waits.
    pub fn at_build_time(mut self, time: u64) -> Self {
        self.build = Some(BuildTime { start: time, passed: 0, random: 0 });
        self
    }

    /// The time in nanoseconds: since 1970 by the calendar, or by a clock that only counts.
    pub fn now(&mut self, calendar: bool) -> u64 {
        if let Some(build) = &mut self.build {
            build.passed += BUILD_TICK;
            return build.passed + if calendar { build.start } else { 0 };
        }
        let time = if calendar {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
        } else {
            START.elapsed()
        };
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Fills `bytes` with randomness.
    pub fn fill_random(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        match &mut self.build {
            None => File::open("/dev/urandom")?.read_exact(bytes),
            Some(BuildTime { random: state, .. }) => {
                for byte in bytes {
                    // Knuth's linear congruential generator (MMIX); its high bits are the better ones.
                    *state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *byte = (*state >> 56) as u8;
                }
                Ok(())
            }
        }
    }

    /// Sends the response to `parts`; `runtime` waits where it is a slow stream.
    pub fn with_response(mut self, parts: mpsc::Sender<Part>, runtime: tokio::runtime::Handle) -> Self {
        self.parts = Some(parts);
        self.runtime = Some(runtime);
        self
    }

    /// The limiter to give to the store.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limit
    }

    /// The failure that the guest reported, if it did.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether the response was completed.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn stop(error: RenderError) -> wasmtime::Error {
        wasmtime::Error::new(Stop(error))
    }

    fn respond(&mut self, status: u32, headers: String, streaming: bool) -> Result<()> {
        if self.head.is_some() || self.streaming || self.ended {
            return Err(Self::stop(RenderError::Trapped("it began a second response".to_owned())));
        }
        let head = Head { status, headers };
        self.streaming = streaming;
        if streaming {
            return self.send(Part::Head(head));
        }
        self.head = Some(head);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.streaming {
            return if bytes.is_empty() {
                Ok(())
            } else {
                self.send(Part::Chunk(Bytes::copy_from_slice(bytes)))
            };
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let part = match self.head.take() {
            Some(head) => Part::Whole(head, Bytes::from(std::mem::take(&mut self.body))),
            None if self.streaming && !self.ended => Part::End,
            None => return Err(Self::stop(RenderError::Incomplete)),
        };
        self.ended = true;
        self.send(part)
    }

    /// Sends a part. A client that reads slowly holds a render thread, so waiting
    /// for it counts as the render's time.
    fn send(&mut self, part: Part) -> Result<()> {
        let (Some(parts), Some(runtime)) = (&self.parts, &self.runtime) else { return Ok(()) };
        let part = match parts.try_send(part) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Self::stop(RenderError::ClientGone)),
            Err(mpsc::error::TrySendError::Full(part)) => part,
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        match runtime.block_on(async { tokio::time::timeout(left, parts.send(part)).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Self::stop(RenderError::ClientGone)),
            Err(_) => Err(Self::stop(RenderError::TimedOut(self.time))),
        }
    }

    fn sleep(&mut self, milliseconds: f64) -> Result<()> {
        if let Some(build) = &mut self.build {
            build.passed = build.passed.saturating_add((milliseconds.max(0.0) * 1e6) as u64);
            return if u128::from(build.passed) < self.time.as_nanos() {
                Ok(())
            } else {
                Err(Self::stop(RenderError::TimedOut(self.time)))
            };
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wanted = Duration::try_from_secs_f64(milliseconds.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
        std::thread::sleep(wanted.min(left));
        if wanted >= left {
            return Err(Self::stop(RenderError::TimedOut(self.time)));
        }
        Ok(())
    }

    /// Writes to the log, each line with the request's id before it.
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

/// A slice of the guest's memory and the state beside it.
pub fn slice<'a>(
    caller: &'a mut Caller<'_, GuestState>,
    at: u32,
    len: u32,
) -> Result<(&'a mut [u8], &'a mut GuestState)> {
    let Some(memory) = caller.data().memory else {
        return Err(GuestState::stop(RenderError::Trapped("it has no memory".to_owned())));
    };
    let (bytes, state) = memory.data_and_store_mut(caller);
    let end = (at as usize).checked_add(len as usize);
    match end.and_then(|end| bytes.get_mut(at as usize..end)) {
        Some(bytes) => Ok((bytes, state)),
        None => {
            Err(GuestState::stop(RenderError::Trapped("it named memory that it does not have".to_owned())))
        }
    }
}

fn text(caller: &mut Caller<'_, GuestState>, at: u32, len: u32) -> Result<String> {
    Ok(String::from_utf8_lossy(slice(caller, at, len)?.0).into_owned())
}

/// All that a site's module may import.
pub fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    type C<'a> = Caller<'a, GuestState>;
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        IMPORTS,
        "respond",
        |mut c: C<'_>, status: u32, at: u32, len: u32, streaming: u32| {
            let headers = text(&mut c, at, len)?;
            c.data_mut().respond(status, headers, streaming != 0)
        },
    )?;
    linker.func_wrap(IMPORTS, "write", |mut c: C<'_>, at: u32, len: u32| {
        let (bytes, state) = slice(&mut c, at, len)?;
        state.write(bytes)
    })?;
    linker.func_wrap(IMPORTS, "end", |mut c: C<'_>| c.data_mut().end())?;
    linker.func_wrap(
        IMPORTS,
        "fail",
        |mut c: C<'_>, kind: u32, message: u32, message_len: u32, stack: u32, stack_len: u32| {
            let message = text(&mut c, message, message_len)?;
            let stack = text(&mut c, stack, stack_len)?;
            c.data_mut().failure = Some(Failure { stalled: kind == 2, message, stack });
            Ok(())
        },
    )?;
    linker.func_wrap(IMPORTS, "log", |mut c: C<'_>, level: u32, at: u32, len: u32| {
        let text = text(&mut c, at, len)?;
        c.data().log(level, &text);
        Ok(())
    })?;
    linker.func_wrap(IMPORTS, "sleep", |mut c: C<'_>, milliseconds: f64| c.data_mut().sleep(milliseconds))?;
    wasi::add_to_linker(&mut linker)?;
    Ok(linker)
}
