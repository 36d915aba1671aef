use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

use super::*;
use crate::abi::response::ResponseHead;

/// Long enough to wait for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// Tells when a render begins and does what it is told, once for each render.
struct Scripted {
    events: Sender<&'static str>,
    steps: Mutex<Receiver<Step>>,
    unload_panics: bool,
}

enum Step {
    Respond,
    Fail,
    Panic,
}

impl Guest for Scripted {
    fn render(&self, _input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        let _ = self.events.send("render");
        let step = self.steps.lock().recv().unwrap();
        match step {
            Step::Fail => Err(RenderError::Incomplete),
            Step::Panic => panic!("on purpose"),
            Step::Respond => {
                let head = ResponseHead { status: 200, headers: String::new() };
                sink.parts.try_send(ResponsePart::Whole(head, Bytes::new())).unwrap();
                Ok(())
            }
        }
    }

    fn rest(&self) {
        let _ = self.events.send("rest");
    }

    fn unload(&self) {
        let _ = self.events.send("unload");
        if self.unload_panics {
            panic!("on purpose");
        }
    }
}

struct Fixture {
    pool: RenderPool,
    events: Receiver<&'static str>,
    steps: Sender<Step>,
    runtime: tokio::runtime::Runtime,
}

/// The guest rests after half of `idle_time`.
fn fixture(limits: Limits, idle_time: Duration) -> Fixture {
    fixture_that(limits, Patience { rest: idle_time / 2, end: idle_time }, false)
}

fn fixture_that(limits: Limits, patience: Patience, unload_panics: bool) -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let ((told, events), (steps, script)) = (channel(), channel());
    let guest = Box::new(Scripted { events: told, steps: Mutex::new(script), unload_panics });
    let pool = RenderPool::start_with(guest, &[], &limits, runtime.handle(), patience).unwrap();
    Fixture { pool, events, steps, runtime }
}

fn limits(render_threads: usize, render_queue: usize) -> Limits {
    Limits { render_threads, render_queue, queue_timeout: HANG, ..Limits::default() }
}

impl Fixture {
    fn submit(&self) -> Result<mpsc::Receiver<ResponsePart>, Busy> {
        let headers = "";
        self.pool.submit(
            &RenderRequest { id: "1", client: None, method: "GET", url: "", path: "/", headers, body: None },
            None,
        )
    }

    fn next_event(&self) -> &'static str {
        self.events.recv_timeout(HANG).unwrap()
    }

    fn receive(&self, mut response: mpsc::Receiver<ResponsePart>) -> Option<ResponsePart> {
        self.runtime.block_on(async { tokio::time::timeout(HANG, response.recv()).await }).unwrap()
    }

    /// More than once.
    fn expect_unloading_and_a_render_after_it(&self) {
        for _ in 0..2 {
            assert_eq!(self.next_event(), "rest");
            assert_eq!(self.next_event(), "unload");
            assert_eq!(self.threads(), 0);
            let response = self.submit().unwrap();
            assert_eq!(self.next_event(), "render");
            self.steps.send(Step::Respond).unwrap();
            assert!(self.receive(response).is_some());
        }
    }

    fn threads(&self) -> usize {
        self.pool.shared.state.lock().threads
    }
}

#[test]
fn one_page_after_another_uses_one_thread() {
    let fixture = fixture(limits(4, 4), HANG);
    for _ in 0..100 {
        let response = fixture.submit().unwrap();
        fixture.steps.send(Step::Respond).unwrap();
        assert!(matches!(fixture.receive(response), Some(ResponsePart::Whole(..))));
    }
    assert_eq!(fixture.threads(), 1);
}

#[test]
fn renders_are_stalled_if_none_ends_for_too_long() {
    const MOST: Duration = Duration::from_millis(50);
    let fixture = fixture(limits(1, 4), HANG);
    std::thread::sleep(2 * MOST);
    assert_eq!(fixture.pool.stalled_beyond(MOST), None, "nothing is to be rendered");
    let responses: Vec<_> = (0..2).map(|_| fixture.submit().unwrap()).collect();
    assert_eq!(fixture.pool.stalled_beyond(HANG), None);
    std::thread::sleep(2 * MOST);
    assert!(fixture.pool.stalled_beyond(MOST).is_some_and(|time| time > MOST));
    for response in responses {
        fixture.steps.send(Step::Respond).unwrap();
        fixture.receive(response);
    }
    let begun = Instant::now();
    while fixture.pool.unfinished() > 0 {
        assert!(begun.elapsed() < HANG);
    }
    std::thread::sleep(2 * MOST);
    assert_eq!(fixture.pool.stalled_beyond(MOST), None);
}

#[test]
fn concurrent_renders_get_threads_of_their_own_up_to_the_limit() {
    let fixture = fixture(limits(3, 8), HANG);
    let responses: Vec<_> = (0..5).map(|_| fixture.submit().unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(fixture.next_event(), "render");
    }
    assert_eq!((fixture.threads(), fixture.pool.unfinished()), (3, 5));
    assert!(fixture.events.try_recv().is_err(), "a fourth render runs");
    for _ in 0..5 {
        fixture.steps.send(Step::Respond).unwrap();
    }
    for response in responses {
        assert!(matches!(fixture.receive(response), Some(ResponsePart::Whole(..))));
    }
}

#[test]
fn a_full_queue_is_busy_and_takes_jobs_again_when_one_is_done() {
    let fixture = fixture(limits(1, 2), HANG);
    let first = fixture.submit().unwrap();
    assert_eq!(fixture.next_event(), "render");
    let waiting = [fixture.submit().unwrap(), fixture.submit().unwrap()];
    assert!(fixture.submit().is_err());
    fixture.steps.send(Step::Respond).unwrap();
    assert!(fixture.receive(first).is_some());
    assert_eq!(fixture.next_event(), "render");
    assert!(fixture.submit().is_ok());
    drop(waiting);
    for _ in 0..3 {
        fixture.steps.send(Step::Respond).unwrap();
    }
}

#[test]
fn a_request_whose_client_has_gone_or_that_waited_too_long_is_not_rendered() {
    let patience = Duration::from_millis(30);
    let fixture = fixture(Limits { queue_timeout: patience, ..limits(1, 4) }, HANG);
    let first = fixture.submit().unwrap();
    assert_eq!(fixture.next_event(), "render");
    drop(fixture.submit().unwrap());
    let late = fixture.submit().unwrap();
    std::thread::sleep(2 * patience);
    fixture.steps.send(Step::Respond).unwrap();
    assert!(fixture.receive(first).is_some());
    let failed = fixture.receive(late);
    assert!(matches!(failed, Some(ResponsePart::Failed(RenderError::Queued(_)))), "{failed:?}");
    assert!(fixture.events.try_recv().is_err(), "it was rendered all the same");
}

#[test]
fn a_failed_render_says_why_and_its_thread_goes_on() {
    let fixture = fixture(limits(1, 4), HANG);
    for step in [Step::Fail, Step::Respond] {
        let fails = matches!(step, Step::Fail);
        let response = fixture.submit().unwrap();
        fixture.steps.send(step).unwrap();
        let part = fixture.receive(response);
        assert_eq!(matches!(part, Some(ResponsePart::Failed(RenderError::Incomplete))), fails, "{part:?}");
    }
    assert_eq!(fixture.threads(), 1);
}

#[test]
fn a_panic_fails_one_render_and_its_thread_goes_on() {
    let fixture = fixture(limits(1, 4), HANG);
    for step in [Step::Panic, Step::Panic, Step::Respond] {
        let panics = matches!(step, Step::Panic);
        let response = fixture.submit().unwrap();
        fixture.steps.send(step).unwrap();
        match fixture.receive(response) {
            Some(ResponsePart::Failed(RenderError::Panicked(said))) => {
                assert!(panics);
                assert_eq!(said, "on purpose");
            }
            Some(ResponsePart::Whole(..)) => assert!(!panics),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.threads(), 1);
    // The thread counts its last render as done a moment after the response.
    let end = Instant::now() + HANG;
    while fixture.pool.unfinished() > 0 {
        assert!(Instant::now() < end, "a render stays unfinished");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_panic_while_the_guest_is_unloaded_does_not_keep_the_next_request_from_starting_a_thread() {
    let fixture = fixture_that(
        limits(1, 4),
        Patience { rest: Duration::from_millis(10), end: Duration::from_millis(20) },
        true,
    );
    fixture.expect_unloading_and_a_render_after_it();
}

#[test]
fn idle_threads_end_with_the_guest_unloaded_and_the_next_request_starts_one() {
    let fixture = fixture(limits(2, 4), Duration::from_millis(20));
    fixture.expect_unloading_and_a_render_after_it();
}

#[test]
fn the_guest_rests_once_when_no_thread_renders_and_not_before() {
    let fixture = fixture_that(limits(2, 4), Patience { rest: Duration::from_millis(20), end: HANG }, false);
    assert_eq!(fixture.next_event(), "rest");
    let responses = [fixture.submit().unwrap(), fixture.submit().unwrap()];
    assert_eq!([fixture.next_event(), fixture.next_event()], ["render", "render"]);
    // One of the two threads becomes idle.
    fixture.steps.send(Step::Respond).unwrap();
    let while_one_renders = fixture.events.recv_timeout(Duration::from_millis(100));
    assert!(while_one_renders.is_err(), "it rests while a render uses its memory");
    fixture.steps.send(Step::Respond).unwrap();
    assert_eq!(fixture.next_event(), "rest");
    assert!(fixture.events.recv_timeout(Duration::from_millis(100)).is_err(), "it rests again without work");
    assert_eq!(fixture.threads(), 2);
    drop(responses);
}
