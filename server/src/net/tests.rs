//! Whole connections, with clients that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::abi::response::{ResponseHead, ResponsePart, ResponseSink};
use ssr_wasm::guests::Guest;
use ssr_wasm::pool::RenderPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Pulse, serve};
use crate::assets::Assets;
use crate::pages::Pages;
use crate::router::Router;
use crate::settings::Settings;

/// Long enough to wait for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// Answers with the size of its input, or with much if the path says so.
struct Echo;

impl Guest for Echo {
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        let head = ResponseHead { status: 200, headers: String::new() };
        let body = if input.windows(4).any(|path| path == b"/big") {
            Bytes::from(vec![b'x'; 16 << 20])
        } else {
            Bytes::from(format!("input of {} bytes", input.len()))
        };
        // Fails if the client has gone.
        let _ = sink.parts.try_send(ResponsePart::Whole(head, body));
        Ok(())
    }

    fn unload(&self) {}
}

/// Serves until the test's runtime ends.
async fn start(settings: Settings) -> SocketAddr {
    let runtime = tokio::runtime::Handle::current();
    let pool = RenderPool::start(Box::new(Echo), &[], &settings.limits, &runtime).unwrap();
    let router = Arc::new(Router::new(Assets::default(), Pages::new(pool, &settings), &settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let pulse = Pulse::new(None, || {});
        serve(listener, router, &settings, std::future::pending(), pulse).await;
    });
    address
}

async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// What comes back until the connection ends.
async fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection may end with a reset.
    let _ = tokio::time::timeout(HANG, stream.read_to_end(&mut bytes)).await.expect("no end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a health check sends.
const PROBE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let address = start(Settings { max_header_size: 8 << 10, ..Settings::default() }).await;
    let head =
        |size| format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\na: {}\r\n\r\n", "x".repeat(size));
    assert!(answer(send(address, head(7 << 10)).await).await.starts_with("HTTP/1.1 200"));
    assert!(answer(send(address, head(8 << 10)).await).await.starts_with("HTTP/1.1 431"));
    // Also if it does not end.
    let endless = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(8 << 10));
    assert!(answer(send(address, endless).await).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(answer(send(address, many).await).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_closed() {
    let address = start(Settings { write_timeout: Duration::from_millis(100), ..Settings::default() }).await;
    let held = send(address, "GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let got = answer(held).await.len();
    assert!(got < 16 << 20, "the whole response was kept for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hold_every_connection_do_not_shut_a_health_check_out() {
    let most = 30;
    let address = start(Settings { max_connections: most, ..Settings::default() }).await;
    for request in [
        // Nothing at all, half a head, a body that does not come, a response that is not read.
        "",
        "GET / HTTP/1.1\r\nhost: x\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n",
        "GET /big HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut held = Vec::new();
        for _ in 0..most + 10 {
            held.push(send(address, request).await);
        }
        let probe = async { answer(send(address, PROBE).await).await };
        // As long as `ssr health` waits.
        let answer = tokio::time::timeout(Duration::from_secs(10), probe).await;
        assert!(
            answer.as_deref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")),
            "{request}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_just_began_is_not_closed_for_another() {
    let address = start(Settings { max_connections: 1, ..Settings::default() }).await;
    let mut first = send(address, "GET / HTTP/1.1\r\n").await;
    let second = send(address, PROBE).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.write_all(b"host: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(answer(first).await.starts_with("HTTP/1.1 200"));
    assert!(answer(second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_declared_too_large_is_refused_before_it_is_sent() {
    let address = start(Settings { max_body_size: 1000, ..Settings::default() }).await;
    let post = |headers: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n\r\n{body}")
    };
    let declared = post("content-length: 1001\r\nexpect: 100-continue", "");
    assert!(answer(send(address, declared).await).await.starts_with("HTTP/1.1 413"));
    let chunked = |size: usize| {
        post("transfer-encoding: chunked", &format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size)))
    };
    assert!(answer(send(address, chunked(1001)).await).await.starts_with("HTTP/1.1 413"));
    let input = answer(send(address, chunked(1000)).await).await;
    assert!(input.starts_with("HTTP/1.1 200") && input.contains("input of 1"), "{input}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_share_a_budget_and_whoever_finds_no_room_is_told_to_retry() {
    let limits = ssr_wasm::limits::Limits { queue_timeout: Duration::from_secs(1), ..Default::default() };
    let settings = Settings { max_body_size: 1 << 20, body_timeout: HANG, limits, ..Settings::default() };
    let address = start(settings).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1048576\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(send(address, format!("{head}x")).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = answer(send(address, head).await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    // Requests without a body need no room.
    assert!(answer(send(address, PROBE).await).await.starts_with("HTTP/1.1 200"));
    // One is given up, another completed: its room is free again each time.
    for _ in 0..2 {
        drop(held.pop());
        let whole = [head.as_bytes(), &vec![b'x'; 1 << 20]].concat();
        assert!(answer(send(address, whole).await).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_a_body_that_is_too_large_sees_the_answer() {
    let address = start(Settings { max_body_size: 1000, ..Settings::default() }).await;
    for _ in 0..5 {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n";
        let whole = [head.as_bytes(), &vec![b'x'; 8 << 20]].concat();
        // Like a browser, which reads when it has sent everything.
        assert!(answer(send(address, whole).await).await.starts_with("HTTP/1.1 413"));
    }
}
