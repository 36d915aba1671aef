//! The render threads: a bounded queue, and at most as many threads as renders may run
//! at the same time.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;

use crate::abi::error::RenderError;
use crate::abi::request::{BodyStream, RenderRequest};
use crate::abi::response::{ResponsePart, ResponseSink};
use crate::engine::WASM_STACK;
use crate::guests::Guest;
use crate::limits::Limits;
use crate::memory_trim;

/// Chunks of a streamed response that may wait for the client.
const CHUNKS_AHEAD: usize = 8;

/// Stack for the host's own frames below WebAssembly's, in bytes.
const HOST_STACK: usize = 512 << 10;

/// How long a queued job waits for a thread that has sent its response and is only
/// cleaning up, before another thread is started for it.
const CLEAN_UP_TIME: Duration = Duration::from_millis(5);

/// How long the pool waits for work.
#[derive(Clone, Copy)]
struct Patience {
    /// When no render has run for this long, the guest gives memory back. The next render maps it
    /// again, which takes half a millisecond: a five-hundredth of this.
    rest: Duration,
    /// A thread ends after this long without work. With the last one, the guest is unloaded.
    end: Duration,
}

const PATIENCE: Patience = Patience { rest: Duration::from_millis(250), end: Duration::from_secs(10) };

/// By how much a render that nothing holds up may exceed its time.
const LATE: Duration = Duration::from_secs(10);

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// A guest's render threads. They are started on demand and end when they are idle.
pub struct RenderPool {
    shared: Arc<Shared>,
    env: String,
}

struct Job {
    id: Arc<str>,
    client: Option<IpAddr>,
    /// Method and path, for the log.
    what: String,
    input: Vec<u8>,
    body: Option<BodyStream>,
    parts: mpsc::Sender<ResponsePart>,
    queued_at: Instant,
}

struct Shared {
    guest: Box<dyn Guest>,
    limits: Limits,
    patience: Patience,
    runtime: tokio::runtime::Handle,
    state: Mutex<State>,
    job_queued: Condvar,
    unfinished: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Running threads, and how many of them are idle.
    threads: usize,
    idle: usize,
    /// Whether the guest has given memory back since the last render.
    rested: bool,
    /// Where the responses of running renders go.
    running: Vec<mpsc::WeakSender<ResponsePart>>,
    /// Whether [`Shared::watch`] runs.
    watched: bool,
    /// When a render ended last, or the first one was queued after that.
    progress: Option<Instant>,
}

impl State {
    /// How many threads will take a job soon: those that are idle, and those whose
    /// response has been received, or is wanted by nobody, and that only clean up. A
    /// client that asks for one page after another thus needs one thread and the memory
    /// of one render.
    fn available(&self) -> usize {
        let taken =
            |parts: &&mpsc::WeakSender<ResponsePart>| parts.upgrade().is_none_or(|parts| parts.is_closed());
        self.idle + self.running.iter().filter(taken).count()
    }
}

impl RenderPool {
    /// Starts the first thread. `env` is the site's environment; streamed responses wait
    /// for slow clients on `runtime`. Fails if the thread cannot be started.
    pub fn start(
        guest: Box<dyn Guest>,
        env: &[(String, String)],
        limits: &Limits,
        runtime: &tokio::runtime::Handle,
    ) -> std::io::Result<Self> {
        Self::start_with(guest, env, limits, runtime, PATIENCE)
    }

    fn start_with(
        guest: Box<dyn Guest>,
        env: &[(String, String)],
        limits: &Limits,
        runtime: &tokio::runtime::Handle,
        patience: Patience,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            guest,
            limits: limits.clone(),
            patience,
            runtime: runtime.clone(),
            state: Mutex::default(),
            job_queued: Condvar::new(),
            unfinished: AtomicUsize::new(0),
        });
        shared.start_thread(&mut shared.state.lock())?;
        let env = env.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}={value}\0");
            text
        });
        Ok(Self { shared, env })
    }

    /// Whether the guest takes bodies as they arrive.
    pub fn streams_bodies(&self) -> bool {
        self.shared.guest.streams_bodies()
    }

    /// Queues a render and returns the receiver of its response. `body` is for guests that take
    /// it as it arrives.
    pub fn submit(
        &self,
        request: &RenderRequest<'_>,
        body: Option<BodyStream>,
    ) -> Result<mpsc::Receiver<ResponsePart>, Busy> {
        let (parts, response) = mpsc::channel(CHUNKS_AHEAD);
        let job = Job {
            id: request.id.into(),
            client: request.client,
            what: format!("{} {}", request.method, request.path),
            input: request.encode(&self.env),
            body,
            parts,
            queued_at: Instant::now(),
        };
        self.shared.add(job)?;
        Ok(response)
    }

    /// Renders that are queued or run, including work after the response.
    pub fn unfinished(&self) -> usize {
        self.shared.unfinished.load(Ordering::Relaxed)
    }

    /// For how long no render has ended although some are queued or run; `None` unless that is
    /// longer than the limits allow.
    pub fn stalled(&self) -> Option<Duration> {
        self.stalled_beyond(2 * self.shared.limits.render_timeout + LATE)
    }

    fn stalled_beyond(&self, most: Duration) -> Option<Duration> {
        let progress = self.shared.state.lock().progress;
        let waited = progress.map(|progress| progress.elapsed());
        waited.filter(|waited| self.unfinished() > 0 && *waited > most)
    }
}

impl Shared {
    fn add(self: &Arc<Self>, job: Job) -> Result<(), Busy> {
        let mut state = self.state.lock();
        if state.threads == 0 {
            self.start_thread(&mut state).map_err(|error| {
                log::error!("cannot start a render thread: {error}");
                Busy
            })?;
            // Loading the guest again needs as much memory as a start, for as long.
            self.runtime.spawn(memory_trim::trim_after_start());
        } else if state.threads < self.limits.render_threads && state.jobs.len() >= state.available() {
            self.start_extra_thread(&mut state);
        }
        // Jobs that are taken at once do not count as waiting.
        if state.jobs.len() >= self.limits.render_queue + state.available() {
            return Err(Busy);
        }
        state.jobs.push_back(job);
        if self.unfinished.fetch_add(1, Ordering::Relaxed) == 0 {
            state.progress = Some(Instant::now());
        }
        self.job_queued.notify_one();
        if self.may_need_thread(&state) && !state.watched {
            state.watched = true;
            self.runtime.spawn(Arc::clone(self).watch());
        }
        Ok(())
    }

    /// Whether there are jobs that no idle thread will take, and room for another thread.
    fn may_need_thread(&self, state: &State) -> bool {
        state.jobs.len() > state.idle && state.threads < self.limits.render_threads
    }

    /// Starts a thread for a job that waits too long for one that is cleaning up.
    async fn watch(self: Arc<Self>) {
        let mut wait = CLEAN_UP_TIME;
        loop {
            tokio::time::sleep(wait).await;
            let mut state = self.state.lock();
            let waited = match state.jobs.front() {
                Some(job) if self.may_need_thread(&state) => job.queued_at.elapsed(),
                _ => return state.watched = false,
            };
            wait = CLEAN_UP_TIME.saturating_sub(waited);
            if wait.is_zero() {
                self.start_extra_thread(&mut state);
                wait = CLEAN_UP_TIME;
            }
        }
    }

    /// If it cannot be started, the existing threads do the work.
    fn start_extra_thread(self: &Arc<Self>, state: &mut State) {
        if let Err(error) = self.start_thread(state) {
            log::debug!("cannot start another render thread: {error}");
        }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let shared = Arc::clone(self);
        std::thread::Builder::new()
            .name("ssr-render".to_owned())
            .stack_size(WASM_STACK + HOST_STACK)
            .spawn(move || shared.work())?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            self.render(job);
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            let mut state = self.state.lock();
            state.running.retain(|parts| parts.strong_count() > 0);
            state.idle += 1;
            state.progress = Some(Instant::now());
        }
    }

    /// The next job for the calling thread, which counts as idle; `None` if the thread
    /// should end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        let Patience { rest, end } = self.patience;
        self.job_queued.wait_while_for(&mut state, |state| state.jobs.is_empty(), rest);
        if state.jobs.is_empty() {
            // Under the lock: no other thread takes a job meanwhile.
            if state.idle == state.threads && !state.rested {
                state.rested = true;
                self.to_guest("giving back memory of", <dyn Guest>::rest);
            }
            self.job_queued.wait_while_for(
                &mut state,
                |state| state.jobs.is_empty(),
                end.saturating_sub(rest),
            );
        }
        state.idle -= 1;
        let job = state.jobs.pop_front();
        if let Some(job) = &job {
            state.rested = false;
            state.running.push(job.parts.downgrade());
        } else {
            state.threads -= 1;
            if state.threads == 0 {
                // Under the lock: a job that arrives now waits until the guest is unloaded.
                self.to_guest("unloading", <dyn Guest>::unload);
            }
        }
        job
    }

    /// Does something to the guest whose panic must not end the thread.
    fn to_guest(&self, what: &str, action: fn(&dyn Guest)) {
        let done = panic::catch_unwind(AssertUnwindSafe(|| action(&*self.guest)));
        if let Err(panic) = done {
            log::error!("{what} the module panicked: {}", message(&*panic));
        }
    }

    fn render(&self, job: Job) {
        let Job { id, client, what, input, body, parts, queued_at } = job;
        let result = if parts.is_closed() {
            Err(RenderError::ClientGone)
        } else if queued_at.elapsed() > self.limits.queue_timeout {
            Err(RenderError::Queued(self.limits.queue_timeout))
        } else {
            let runtime = self.runtime.clone();
            let sink = ResponseSink { id: Arc::clone(&id), client, body, parts: parts.clone(), runtime };
            // A thread that ended here would take its place among the threads with it.
            panic::catch_unwind(AssertUnwindSafe(|| self.guest.render(&input, sink)))
                .unwrap_or_else(|panic| Err(RenderError::Panicked(message(&*panic))))
        };
        let Err(error) = result else { return };
        if error == RenderError::ClientGone {
            log::debug!("[{id}] {what}: {error}");
            return;
        }
        for line in format!("{what}: {error}").lines() {
            log::error!("[{id}] {line}");
        }
        // Fails if the response is complete or the client gone; neither needs more.
        let _ = parts.try_send(ResponsePart::Failed(error));
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests;
