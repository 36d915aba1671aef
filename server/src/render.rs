//! The render threads: a bounded queue, and as many threads as renders may run
//! at the same time.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::engine::WASM_STACK;
use crate::error::StartError;
use crate::guest::{Part, RenderError};
use crate::resident;
use crate::settings::Settings;
use crate::site::{Destination, Site};

/// Chunks of a streamed response that may wait for the client.
const CHUNKS_AHEAD: usize = 8;

/// Stack for the host's own frames, below WebAssembly's.
const HOST_STACK: usize = 512 << 10;

/// A request as a site gets it.
#[derive(Debug)]
pub struct RenderRequest<'a> {
    /// The id that its log lines carry.
    pub id: &'a str,
    /// The method.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// The path and query.
    pub path: &'a str,
    /// The headers, `name\nvalue\n` each.
    pub headers: &'a str,
    /// The body, if there is one.
    pub body: Option<&'a [u8]>,
}

impl RenderRequest<'_> {
    /// The fields that `ssr_render` takes; `env` is the site's environment.
    pub fn encode(&self, env: &str) -> Vec<u8> {
        let texts = [self.method, self.url, self.path, self.headers];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut input = Vec::with_capacity(24 + length + self.body.map_or(0, <[u8]>::len) + env.len());
        for text in texts {
            put(&mut input, Some(text.as_bytes()));
        }
        put(&mut input, self.body);
        put(&mut input, Some(env.as_bytes()));
        input
    }
}

/// Appends one field: its length and bytes, or that it is absent.
pub fn put(input: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(u32::MAX, |field| u32::try_from(field.len()).unwrap_or(u32::MAX));
    input.extend_from_slice(&length.to_le_bytes());
    input.extend_from_slice(field.unwrap_or_default());
}

/// Too many requests wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

struct Job {
    id: Arc<str>,
    /// Method and URL, for the log.
    what: String,
    input: Vec<u8>,
    parts: mpsc::Sender<Part>,
    asked: Instant,
}

/// The render threads of a site: started as they are needed, and ended when they
/// were not needed for a while.
pub struct Renderer {
    pool: Arc<Pool>,
    env: String,
}

struct Pool {
    site: Site,
    state: Mutex<State>,
    queued: Condvar,
    unfinished: AtomicUsize,
    threads: usize,
    queue: usize,
    queue_timeout: Duration,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads there are, and how many of them have nothing to do.
    threads: usize,
    idle: usize,
    /// Where the responses of renders go that run.
    running: Vec<mpsc::WeakSender<Part>>,
    /// There is somebody who looks after a job that waits.
    watched: bool,
}

impl State {
    /// How many threads take a job soon: those that are idle, and those whose response
    /// has been taken, or is wanted by nobody, and who only have to tidy up. Whoever
    /// asks for one page after the other needs one thread, and one render's memory.
    fn available(&self) -> usize {
        let taken = |parts: &&mpsc::WeakSender<Part>| parts.upgrade().is_none_or(|parts| parts.is_closed());
        self.idle + self.running.iter().filter(taken).count()
    }
}

/// A thread that has sent its response may still work for longer than this. Then
/// there is another one for the job that waits for it.
const TIDY: Duration = Duration::from_millis(5);

/// A render thread that waits for longer ends; with the last one, the site rests.
const IDLE: Duration = Duration::from_secs(10);

impl Renderer {
    /// Starts the first thread. `env` is the site's environment; streamed responses
    /// wait on `runtime`.
    pub fn start(
        site: Site,
        env: &[(String, String)],
        settings: &Settings,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, StartError> {
        let pool = Arc::new(Pool {
            site,
            state: Mutex::default(),
            queued: Condvar::new(),
            unfinished: AtomicUsize::new(0),
            threads: settings.render_threads,
            queue: settings.render_queue,
            queue_timeout: settings.queue_timeout,
            runtime: runtime.clone(),
        });
        pool.start_thread(&mut pool.lock())
            .map_err(|error| StartError::Internal(format!("no thread to render on: {error}")))?;
        let env = env.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}={value}\0");
            text
        });
        Ok(Self { pool, env })
    }

    /// Queues a render; its response comes in parts.
    pub fn submit(&self, request: &RenderRequest<'_>) -> Result<mpsc::Receiver<Part>, Busy> {
        let (parts, response) = mpsc::channel(CHUNKS_AHEAD);
        let job = Job {
            id: request.id.into(),
            what: format!("{} {}", request.method, request.path),
            input: request.encode(&self.env),
            parts,
            asked: Instant::now(),
        };
        self.pool.add(job)?;
        Ok(response)
    }

    /// How many renders are queued or run, work after the response included.
    pub fn unfinished(&self) -> usize {
        self.pool.unfinished.load(Ordering::Relaxed)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, job: Job) -> Result<(), Busy> {
        let mut state = self.lock();
        if state.threads == 0 {
            self.start_thread(&mut state).map_err(|error| {
                log::error!("no thread to render on: {error}");
                Busy
            })?;
            // The site wakes, which needs as much as a start, and for as long.
            self.runtime.spawn(resident::release_soon());
        } else if state.threads < self.threads && state.jobs.len() >= state.available() {
            self.start_further_thread(&mut state);
        }
        // What is taken at once is not counted as waiting.
        if state.jobs.len() >= self.queue + state.available() {
            return Err(Busy);
        }
        state.jobs.push_back(job);
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.queued.notify_one();
        if self.may_want_a_thread(&state) && !state.watched {
            state.watched = true;
            self.runtime.spawn(Arc::clone(self).watch());
        }
        Ok(())
    }

    /// Whether there are jobs which no idle thread takes, and there can be another one.
    fn may_want_a_thread(&self, state: &State) -> bool {
        state.jobs.len() > state.idle && state.threads < self.threads
    }

    /// Looks whether jobs wait in vain for threads that tidy up.
    async fn watch(self: Arc<Self>) {
        let mut wait = TIDY;
        loop {
            tokio::time::sleep(wait).await;
            let mut state = self.lock();
            let waited = match state.jobs.front() {
                Some(job) if self.may_want_a_thread(&state) => job.asked.elapsed(),
                _ => return state.watched = false,
            };
            wait = TIDY.saturating_sub(waited);
            if wait.is_zero() {
                self.start_further_thread(&mut state);
                wait = TIDY;
            }
        }
    }

    /// Where there can be none, those that there are do the work.
    fn start_further_thread(self: &Arc<Self>, state: &mut State) {
        if let Err(error) = self.start_thread(state) {
            log::debug!("no further thread to render on: {error}");
        }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let pool = Arc::clone(self);
        std::thread::Builder::new()
            .name("ssr-render".to_owned())
            .stack_size(WASM_STACK + HOST_STACK)
            .spawn(move || pool.work())?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            self.render(job);
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            let mut state = self.lock();
            state.running.retain(|parts| parts.strong_count() > 0);
            state.idle += 1;
        }
    }

    /// The next job for this thread, which is counted as idle; `None` if it is to end.
    fn next(&self) -> Option<Job> {
        let nothing = |state: &mut State| state.jobs.is_empty();
        let waited = self.queued.wait_timeout_while(self.lock(), IDLE, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        let job = state.jobs.pop_front();
        if let Some(job) = &job {
            state.running.push(job.parts.downgrade());
        } else {
            state.threads -= 1;
            if state.threads == 0 {
                // Under the lock: a job that comes now waits until the site is at rest.
                self.site.rest();
            }
        }
        job
    }

    fn render(&self, job: Job) {
        let Job { id, what, input, parts, asked } = job;
        let result = if parts.is_closed() {
            Err(RenderError::ClientGone)
        } else if asked.elapsed() > self.queue_timeout {
            Err(RenderError::Queued(self.queue_timeout))
        } else {
            let runtime = self.runtime.clone();
            self.site.render(&input, Destination { id: Arc::clone(&id), parts: parts.clone(), runtime })
        };
        let Err(error) = result else { return };
        if error == RenderError::ClientGone {
            log::debug!("[{id}] {what}: {error}");
            return;
        }
        for line in format!("{what}: {error}").lines() {
            log::error!("[{id}] {line}");
        }
        // A response that was complete, or whose client is gone, needs no more.
        let _ = parts.try_send(Part::Failed(error));
    }
}
