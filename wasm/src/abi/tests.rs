//! What a hostile guest can make the host keep, and how long it can keep it busy.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::RenderError;
use super::response::{ResponsePart, ResponseSink};
use crate::guests::Guest as _;
use crate::guests::snapshot::Site;
use crate::limits::Limits;

const MIB: usize = 1 << 20;

/// Long enough to wait for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

fn site(pages: u32, body: &str, limits: &Limits) -> Site {
    let guest = format!(
        r#"(module
          (import "ssr_v1" "respond" (func $respond (param i32 i32 i32 i32)))
          (import "ssr_v1" "write" (func $write (param i32 i32)))
          (import "ssr_v1" "end" (func $end))
          (import "ssr_v1" "log" (func $log (param i32 i32 i32)))
          (import "ssr_v1" "fail" (func $fail (param i32 i32 i32 i32 i32)))
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") {pages})
          (func (export "ssr_input") (param i32) (result i32) (i32.const 0))
          (func (export "ssr_render") (local $n i32) {body})
          (func (export "never") unreachable)
          (func $deep (param $depth i32) (param $size i32)
            (if (local.get $depth)
              (then (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $size)))
              (else (memory.fill (i32.const 0) (i32.const 1) (local.get $size)))))
          (@custom "ssr:site" "{{\"abi\":1,\"built_by\":\"test\"}}"))"#
    );
    Site::compile("test.wasm", &wat::parse_str(guest).unwrap(), limits).unwrap()
}

fn limits(memory: usize, time: Duration) -> Limits {
    Limits { render_threads: 1, render_memory_limit: memory, render_timeout: time, ..Limits::default() }
}

/// Renders with a reader that takes everything at once.
fn render(site: &Site, input: &[u8]) -> (Result<(), RenderError>, Vec<ResponsePart>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (parts, mut response) = mpsc::channel(8);
    let reader = runtime.spawn(async move {
        let mut all = Vec::new();
        while let Some(part) = response.recv().await {
            all.push(part);
        }
        all
    });
    let result = site.render(
        input,
        ResponseSink { id: "1".into(), client: None, body: None, parts, runtime: runtime.handle().clone() },
    );
    (result, runtime.block_on(reader).unwrap())
}

fn failure(pages: u32, body: &str, limits: &Limits) -> RenderError {
    render(&site(pages, body, limits), b"").0.unwrap_err()
}

#[test]
fn a_body_counts_as_the_renders_memory() {
    let limits = limits(4 * MIB, HANG);
    let endless = "(call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0))
                   (loop (call $write (i32.const 0) (i32.const 65536)) br 0)";
    assert_eq!(failure(1, endless, &limits), RenderError::OutOfMemory(4 * MIB));
    // Together with linear memory, whichever grows last.
    let body_first = "(call $write (i32.const 0) (i32.const 0x180000))
                      (drop (memory.grow (i32.const 32))) (call $end)";
    assert_eq!(failure(32, body_first, &limits), RenderError::OutOfMemory(4 * MIB));
}

#[test]
fn a_request_counts_as_the_renders_memory() {
    let limits = limits(4 * MIB, HANG);
    let (result, _) = render(&site(48, "(call $end)", &limits), &vec![0; 2 * MIB]);
    assert_eq!(result, Err(RenderError::OutOfMemory(4 * MIB)));
}

#[test]
fn a_streamed_response_counts_until_it_is_taken() {
    // 16 MiB in all, of which never more than some chunks wait.
    let stream = "(call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 1))
                  (loop (call $write (i32.const 0) (i32.const 0x100000))
                    (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 16))))
                  (call $end)";
    let (result, parts) = render(&site(16, stream, &limits(2 * MIB, HANG)), b"");
    assert_eq!(result, Ok(()));
    let chunks = |part: &ResponsePart| if let ResponsePart::Chunk(bytes) = part { bytes.len() } else { 0 };
    assert_eq!(parts.iter().map(chunks).sum::<usize>(), 16 * MIB);
    assert!(parts.iter().map(chunks).all(|size| size <= 64 << 10));
    // With room for three chunks beside its memory, and nobody who takes them.
    let site = site(16, stream, &limits(MIB + (200 << 10), HANG));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (parts, response) = mpsc::channel(8);
    let result = site.render(
        b"",
        ResponseSink { id: "1".into(), client: None, body: None, parts, runtime: runtime.handle().clone() },
    );
    assert_eq!(result, Err(RenderError::OutOfMemory(MIB + (200 << 10))));
    assert_eq!(response.len(), 4, "the head and three chunks");
}

#[test]
fn headers_have_a_limit() {
    let head = "(call $respond (i32.const 200) (i32.const 0) (i32.const 262145) (i32.const 0)) (call $end)";
    assert_eq!(failure(8, head, &limits(4 * MIB, HANG)), RenderError::HeadersTooLarge(256 << 10));
}

#[test]
fn a_failures_text_is_cut() {
    let fail =
        "(call $fail (i32.const 1) (i32.const 0) (i32.const 0x100000) (i32.const 0) (i32.const 0x100000))";
    match failure(16, fail, &limits(4 * MIB, HANG)) {
        RenderError::Threw { message, stack } => {
            assert!(message.len() < 70_000 && stack.len() < 70_000);
            assert!(message.ends_with("... (983040 more bytes)"), "{}", &message[message.len() - 40..]);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn one_write_to_the_log_takes_a_bounded_part_and_says_how_much() {
    // A million vectors that all name the same mebibyte.
    let write = "(loop
                   (i32.store offset=0x100000 (i32.mul (local.get $n) (i32.const 8)) (i32.const 0))
                   (i32.store offset=0x100004 (i32.mul (local.get $n) (i32.const 8)) (i32.const 0x100000))
                   (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
                 (drop (call $fd_write (i32.const 2) (i32.const 0x100000) (i32.const 1000000) (i32.const 16)))
                 (call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0))
                 (call $write (i32.const 16) (i32.const 4)) (call $end)";
    let (result, parts) = render(&site(160, write, &limits(16 * MIB, HANG)), b"");
    assert_eq!(result, Ok(()));
    match &parts[..] {
        [ResponsePart::Whole(_, written)] => {
            assert_eq!(*written, Bytes::from(65536_u32.to_le_bytes().to_vec()))
        }
        parts => panic!("{parts:?}"),
    }
}

/// Far more than it takes, and far less than a guest takes that is only ended by chance.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_guest_that_is_nearly_always_in_host_functions_is_ended_in_time() {
    for body in [
        "(loop (drop (call $random (i32.const 0) (i32.const 0x4000000))) br 0)",
        "(loop (call $log (i32.const 0) (i32.const 0) (i32.const 0x4000000)) br 0)",
        "(loop (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1000000) (i32.const 16))) br 0)",
    ] {
        let started = Instant::now();
        let limit = Duration::from_millis(50);
        assert_eq!(failure(1024, body, &limits(128 * MIB, limit)), RenderError::TimedOut(limit), "{body}");
        assert!(started.elapsed() < SOON, "{body}: {:?}", started.elapsed());
    }
}

#[test]
fn a_guest_that_is_nearly_always_filling_or_copying_memory_is_ended_soon() {
    for size in ["0x4000000", "0x10000", "0x1000"] {
        for body in [
            format!("(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const {size})) br 0)"),
            format!("(loop (memory.copy (i32.const 0) (i32.const 1) (i32.const {size})) br 0)"),
            // From a call of a call.
            format!("(loop (call $deep (i32.const 20) (i32.const {size})) br 0)"),
        ] {
            let started = Instant::now();
            let limit = Duration::from_millis(50);
            assert_eq!(
                failure(1025, &body, &limits(128 * MIB, limit)),
                RenderError::TimedOut(limit),
                "{body}"
            );
            assert!(started.elapsed() < SOON, "{body}: {:?}", started.elapsed());
        }
    }
}
