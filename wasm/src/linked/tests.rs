//! What a hostile memory can make an engine do: the same on both back ends, and nothing worse than a
//! failed render.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::abi::error::RenderError;
use crate::abi::response::{ResponsePart, ResponseSink};
use crate::carried::attach::Engines;
use crate::guests::Guest;
use crate::guests::load::load_site;
use crate::guests::snapshot::Site;
use crate::limits::Limits;
use crate::own_engines::{self, OwnEngine, carried};

const HOSTILE: &str = include_str!("hostile.wat");

/// Long enough to wait for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// What hostile.wat is told.
fn memory(what: u32, [a, b, c]: [u32; 3]) -> Vec<u8> {
    [what, a, b, c].iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A site of the hostile engine with this memory.
fn site(memory: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for byte in memory {
        text += &format!("\\{byte:02x}");
    }
    let (before, data) = HOSTILE.split_once("(data (i32.const 65536) \"").unwrap();
    let (_, after) = data.split_once('"').unwrap();
    wat::parse_str(format!("{before}(data (i32.const 65536) \"{text}\"{after}")).unwrap()
}

fn limits(timeout: Duration) -> Limits {
    Limits { render_threads: 2, render_memory_limit: 2 << 20, render_timeout: timeout, ..Limits::default() }
}

fn linked(site: &[u8], limits: &Limits) -> Box<dyn Guest> {
    let linked = super::all().iter().map(OwnEngine::Linked);
    let (_, code) = own_engines::code(linked, site)
        .unwrap()
        .expect("the engine of hostile.wat is linked in: run scripts/test-linked.sh");
    let (guest, backend) = load_site("test.wasm", code, limits).unwrap();
    assert_eq!(backend, "wasm2c");
    guest
}

fn compiled(site: &[u8], limits: &Limits) -> Box<dyn Guest> {
    Box::new(Site::compile("test.wasm", site, limits).unwrap())
}

/// The response's headers and body, or why there is none.
fn render(guest: &dyn Guest, input: &[u8]) -> Result<(String, Vec<u8>), RenderError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (parts, mut response) = mpsc::channel(8);
    let runtime = runtime.handle().clone();
    guest.render(input, ResponseSink { id: "1".into(), client: None, body: None, parts, runtime })?;
    match response.try_recv().unwrap() {
        ResponsePart::Whole(head, body) => Ok((head.headers, body.to_vec())),
        part => panic!("{part:?}"),
    }
}

/// On a thread with as much stack as render threads have.
fn with_stack<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    let stack = crate::engine::WASM_STACK + (512 << 10);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, run).unwrap();
        thread.join().unwrap()
    })
}

/// Tells the hostile engine the same on both back ends, twice, and compares.
fn both(what: u32, how: [u32; 3], timeout: Duration) -> Result<Vec<u8>, RenderError> {
    let site = site(&memory(what, how));
    with_stack(|| {
        let limits = limits(timeout);
        let (linked, compiled) = (linked(&site, &limits), compiled(&site, &limits));
        let first = render(&*linked, b"input");
        assert_eq!(first, render(&*compiled, b"input"), "{what} {how:?}: the back ends differ");
        assert_eq!(first, render(&*linked, b"input"), "{what} {how:?}: the second render differs");
        first.map(|(_, body)| body)
    })
}

fn trap(what: u32, how: [u32; 3]) -> String {
    match both(what, how, HANG).unwrap_err() {
        RenderError::Trapped(trap) => trap,
        error => error.to_string(),
    }
}

/// The number that a render answers with, after checking that memory and globals were fresh.
fn number(what: u32, how: [u32; 3]) -> u64 {
    let body = both(what, how, HANG).unwrap();
    let (number, rest) = body.split_first_chunk().unwrap();
    let rest: Vec<u32> = rest.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    assert_eq!((rest[0], rest[2]), (1, 1), "the first render of this instance");
    u64::from_le_bytes(*number)
}

/// Numbers that look random, the same every time (Knuth's MMIX generator).
fn numbers(count: usize) -> impl Iterator<Item = u32> {
    let mut state = 7_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    })
    .take(count)
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn instructions_compute_the_same() {
    let special =
        [0, 1, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x7ff0_0000, 0xfff8_0000, 0x3fe0_0000];
    for a in special {
        for b in special {
            number(0, [a, b, a ^ b]);
        }
    }
    let random: Vec<u32> = numbers(180).collect();
    for [a, b, c] in random.as_chunks().0 {
        number(0, [*a, *b, *c]);
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn memory_ends_where_it_ends() {
    let end = 2 * 65_536_u32;
    for what in [3, 4] {
        // Eight bytes at an offset of eight.
        both(what, [end - 16, 0, 0], HANG).unwrap();
        for at in [end - 15, end, u32::MAX - 15, u32::MAX] {
            assert!(trap(what, [at, 0, 0]).contains("out of bounds memory access"), "{what} {at}");
        }
    }
    both(10, [end - 5, 7, 5], HANG).unwrap();
    both(11, [70_000, 80_000, 9_999], HANG).unwrap();
    for (what, how) in
        [(10, [end - 5, 7, 6]), (10, [0, 7, u32::MAX]), (11, [0, end - 1, 2]), (11, [u32::MAX, 0, 1])]
    {
        assert!(trap(what, how).contains("out of bounds memory access"), "{what} {how:?}");
    }
    for how in [[end, 1, 0], [0, end - 1, 2], [u32::MAX, u32::MAX, 0]] {
        assert!(both(12, how, HANG).is_err(), "{how:?}");
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn calls_through_a_table_reach_functions_of_their_type_only() {
    assert_eq!(number(5, [0, 21, 0]), 42);
    // Of other types, empty, outside.
    for index in [1, 2, 3, 4, 5, u32::MAX] {
        let site = site(&memory(5, [index, 0, 0]));
        for guest in [linked(&site, &limits(HANG)), compiled(&site, &limits(HANG))] {
            let error = render(&*guest, b"").unwrap_err();
            // wasm2c does not tell why.
            assert!(matches!(error, RenderError::Trapped(_)), "{index}: {error}");
        }
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn arithmetic_traps_are_told_apart() {
    assert_eq!(number(6, [7, 2, 0]), 4);
    assert!(trap(6, [7, 0, 0]).contains("integer divide by zero"));
    assert!(trap(6, [0x8000_0000, u32::MAX, 0]).contains("integer overflow"));
    assert!(trap(7, [0, 0x8000_0000, u32::MAX]).contains("integer overflow"));
    assert!(trap(7, [1, 1, 0]).contains("integer divide by zero"));
    // A NaN, and a number that is too large.
    assert!(trap(8, [0, 0x7ff8_0000, 0]).contains("invalid conversion to integer"));
    assert!(trap(8, [0, 0x4400_0000, 0]).contains("integer overflow"));
    assert_eq!(number(8, [0, 0xc008_0000, 0]), u64::from(-3_i32 as u32));
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn memory_grows_to_its_own_limit_and_the_renders() {
    assert_eq!(number(9, [0, 0, 0]), 2);
    assert_eq!(number(9, [3, 0, 0]), 2);
    // More than the module allows is refused; more than the render may have ends it.
    assert_eq!(number(9, [22, 0, 0]), 2);
    assert_eq!(number(9, [23, 0, 0]), u64::from(u32::MAX));
    for pages in [31, 0x7fff] {
        assert_eq!(both(9, [pages, 0, 0], HANG), Err(RenderError::OutOfMemory(2 << 20)));
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn renders_that_do_not_end_are_ended_again_and_again() {
    let limit = Duration::from_millis(20);
    // Loops, waits, and is nearly always in other functions.
    for (what, how) in [(1, [0; 3]), (14, [0, 0x4100_0000, 0]), (16, [0; 3]), (17, [0; 3])] {
        let started = Instant::now();
        for _ in 0..5 {
            assert_eq!(both(what, how, limit), Err(RenderError::TimedOut(limit)), "{what}");
        }
        assert!(started.elapsed() < HANG, "{what}");
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn a_render_whose_time_is_up_when_it_begins_is_ended() {
    let (site, mut answered) = (site(&memory(0, [1, 2, 3])), 0);
    with_stack(|| {
        for nanoseconds in (0..3_000).map(|n| 1 + n * 20) {
            let guest = linked(&site, &limits(Duration::from_nanos(nanoseconds)));
            match render(&*guest, b"input") {
                Ok(_) => answered += 1,
                Err(error) => assert!(matches!(error, RenderError::TimedOut(_)), "{error}"),
            }
        }
    });
    assert!(answered < 3_000, "no render took longer than its limit");
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn recursion_without_end_is_one_failed_render() {
    for _ in 0..3 {
        assert_eq!(both(2, [0; 3], HANG), Err(RenderError::StackExhausted));
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn what_the_engine_reports_is_reported() {
    assert_eq!(trap(15, [3, 0, 0]), "it exited with code 3");
    assert!(matches!(both(13, [1, 4, 4], HANG), Err(RenderError::Threw { .. })));
    assert!(matches!(both(13, [2, 4, 4], HANG), Err(RenderError::Stalled(_))));
    // Room for the request where there is none.
    let mut memory = memory(0, [0; 3]);
    memory.extend(u32::MAX.to_le_bytes());
    let site = site(&memory);
    for guest in [linked(&site, &limits(HANG)), compiled(&site, &limits(HANG))] {
        assert!(matches!(render(&*guest, b"input"), Err(RenderError::Trapped(_))));
    }
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn renders_run_at_the_same_time_and_leave_nothing_to_each_other() {
    let site = site(&memory(4, [70_000, 0, 0]));
    let guest = linked(&site, &limits(HANG));
    let right = render(&*guest, b"1").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|_| assert_eq!(render(&*guest, b"1").unwrap(), right)));
        }
    });
    guest.unload();
    assert_eq!(render(&*guest, b"1").unwrap(), right);
}

/// Where in a module the bytes of its memory are.
fn places_of_memory(module: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        if let wasmparser::Payload::DataSection(segments) = payload.unwrap() {
            for segment in segments {
                let segment = segment.unwrap();
                places.extend(segment.range.end - segment.data.len()..segment.range.end);
            }
        }
    }
    places
}

/// What an outcome has to be on both back ends. How deep calls may be, and how far a render gets in
/// its time, differs.
fn comparable(outcome: Result<(String, Vec<u8>), RenderError>) -> Result<(String, Vec<u8>), String> {
    outcome.map_err(|error| match error {
        RenderError::TimedOut(_) | RenderError::StackExhausted => "too much".to_owned(),
        RenderError::Trapped(_) => "a trap".to_owned(),
        error => error.to_string(),
    })
}

#[test]
#[ignore = "needs linked engines: scripts/test-linked.sh"]
fn a_damaged_heap_of_the_real_engine_does_the_same_on_both_back_ends() {
    let variable =
        |name| std::env::var(name).unwrap_or_else(|_| panic!("{name}: run scripts/test-linked.sh"));
    let site = fs::read(variable("SSR_TEST_SITE")).unwrap();
    let program = File::open(variable("SSR_TEST_CARRIER")).unwrap();
    let rounds: usize = variable("SSR_TEST_ROUNDS").parse().unwrap();
    let engines = Engines::of(program).unwrap().expect("it carries engines");
    let places = places_of_memory(&site);
    let limits = Limits { render_memory_limit: 64 << 20, ..limits(Duration::from_millis(300)) };
    let mut fields = Vec::new();
    for field in [Some("GET"), Some("http://h/"), Some("/"), Some(""), None, Some("")] {
        crate::abi::request::encode_field(&mut fields, field.map(str::as_bytes));
    }
    let (mut random, mut answered, mut failed) = (numbers(usize::MAX), 0, 0);
    let mut next = || random.next().unwrap() as usize;
    with_stack(|| {
        for round in 0..rounds {
            let mut damaged = site.clone();
            // Up to a thousand places: most of a heap is not looked at.
            for _ in 0..1 << (next() % 11) {
                damaged[places[next() % places.len()]] = next() as u8;
            }
            let (_, code) = own_engines::code(carried(&engines), &damaged).unwrap().unwrap();
            let (guest, _) = load_site("test.wasm", code, &limits).unwrap();
            let (one, other) = (guest, linked(&damaged, &limits));
            let right = comparable(render(&*one, &fields));
            let outcome = comparable(render(&*other, &fields));
            // A damaged heap may look at the clock.
            let changes = || comparable(render(&*one, &fields)) != right;
            assert!(outcome == right || changes(), "round {round}: {outcome:?} and {right:?}");
            if right.is_ok() { answered += 1 } else { failed += 1 }
        }
    });
    eprintln!("{answered} damaged heaps answered, {failed} failed");
    assert!(answered > rounds / 10 && failed > rounds / 10, "{answered} and {failed}");
}
