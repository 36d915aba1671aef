//! The render threads: a bounded queue, and as many threads as renders may run
//! at the same time.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::engine::WASM_STACK;
use crate::error::StartError;
use crate::guest::{Part, RenderError};
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

/// The render threads of a site.
pub struct Renderer {
    queue: SyncSender<Job>,
    env: String,
    unfinished: Arc<AtomicUsize>,
}

struct Worker {
    site: Arc<Site>,
    jobs: Arc<Mutex<Receiver<Job>>>,
    runtime: tokio::runtime::Handle,
    unfinished: Arc<AtomicUsize>,
    queue_timeout: Duration,
}

impl Renderer {
    /// Starts the threads. `env` is the site's environment; streamed responses
    /// wait on `runtime`.
    pub fn start(
        site: Site,
        env: &[(String, String)],
        settings: &Settings,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, StartError> {
        let (queue, jobs) = sync_channel(settings.render_queue);
        let (site, jobs, unfinished) =
            (Arc::new(site), Arc::new(Mutex::new(jobs)), Arc::new(AtomicUsize::new(0)));
        for number in 0..settings.render_threads {
            let worker = Worker {
                site: Arc::clone(&site),
                jobs: Arc::clone(&jobs),
                runtime: runtime.clone(),
                unfinished: Arc::clone(&unfinished),
                queue_timeout: settings.queue_timeout,
            };
            std::thread::Builder::new()
                .name(format!("ssr-render-{number}"))
                .stack_size(WASM_STACK + HOST_STACK)
                .spawn(move || worker.run())
                .map_err(|error| StartError::Internal(format!("no thread to render on: {error}")))?;
        }
        let env = env.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}={value}\0");
            text
        });
        Ok(Self { queue, env, unfinished })
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
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|error| {
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
            }
        })?;
        Ok(response)
    }

    /// How many renders are queued or run, work after the response included.
    pub fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }
}

impl Worker {
    fn run(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            self.render(job);
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
        }
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
