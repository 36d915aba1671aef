//! Visitors of a site: requests at a steady rate, whose fate is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;

use super::Kubernetes;

/// How visitors ask.
#[derive(Debug, Clone, Copy)]
struct Visitor {
    /// Whether one connection serves many requests.
    keeps: bool,
    /// The time from one request to the next.
    pause: Duration,
}

/// Some sixty requests in a second. Those that keep connections and wait for long between
/// requests have connections that are idle when a pod is stopped.
const VISITORS: [(usize, Visitor); 4] = [
    (3, Visitor { keeps: false, pause: Duration::from_millis(100) }),
    (3, Visitor { keeps: true, pause: Duration::from_millis(100) }),
    (4, Visitor { keeps: true, pause: Duration::from_millis(900) }),
    (4, Visitor { keeps: true, pause: Duration::from_millis(2500) }),
];

/// A request that was not answered with a page.
#[derive(Debug)]
pub struct Lost {
    /// When it was sent, in seconds after the first.
    pub second: f64,
    /// Whether on a connection that was used for others.
    pub kept: bool,
    /// What came instead.
    pub error: String,
}

/// What has become of the requests.
#[derive(Debug, Default)]
pub struct Traffic {
    /// How many were answered with 200.
    pub answered: usize,
    /// The others.
    pub lost: Vec<Lost>,
}

impl Kubernetes {
    /// Lets visitors ask for pages, in the node's network, for as long as a function runs. Each
    /// visitor asks for one of the pages.
    pub fn under_traffic(&self, urls: &[String], during: impl FnOnce()) -> Traffic {
        let stop = AtomicBool::new(false);
        let begun = Instant::now();
        thread::scope(|scope| {
            let visit = |(visitor, url)| {
                let stop = &stop;
                move || {
                    self.enter_network();
                    visitor_asks(visitor, url, begun, stop)
                }
            };
            let visitors = VISITORS.iter().flat_map(|(count, visitor)| std::iter::repeat_n(*visitor, *count));
            let threads: Vec<_> = visitors
                .zip(urls.iter().map(String::as_str).cycle())
                .map(|one| scope.spawn(visit(one)))
                .collect();
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
            stop.store(true, Ordering::SeqCst);
            let mut all = Traffic::default();
            for one in threads.into_iter().map(|thread| thread.join().expect("a visitor")) {
                all.answered += one.answered;
                all.lost.extend(one.lost);
            }
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all
        })
    }
}

fn visitor_asks(visitor: Visitor, url: &str, begun: Instant, stop: &AtomicBool) -> Traffic {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(20)))
        .max_idle_connections_per_host(usize::from(visitor.keeps))
        .build()
        .into();
    let mut traffic = Traffic::default();
    while !stop.load(Ordering::SeqCst) {
        let second = begun.elapsed().as_secs_f64();
        let mut request = agent.get(url);
        if !visitor.keeps {
            request = request.header("connection", "close");
        }
        match request.call().and_then(|mut response| response.body_mut().read_to_string()) {
            Ok(_) => traffic.answered += 1,
            Err(error) => traffic.lost.push(Lost { second, kept: visitor.keeps, error: error.to_string() }),
        }
        thread::sleep(visitor.pause);
    }
    traffic
}
