//! How a server stops while load balancers still send requests, and where it listens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Server, build, ssr, stderr};

const SITE: &str =
    "export default { fetch: (request) => new Response(`page ${new URL(request.url).pathname}`) }";

/// Sends a request on a connection that stays open, and reads the answer to its last word.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let (mut answer, end) = (Vec::new(), format!("page {path}"));
    while !answer.ends_with(end.as_bytes()) {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn no_request_is_lost_while_load_balancers_have_not_noticed() {
    let server = Server::start(SITE, &[], &["--drain-delay", "2s"]);
    let probe = |agent: &str| server.get_with("/", &format!("user-agent: {agent}")).status;
    let mut connection = TcpStream::connect(server.address()).unwrap();
    assert!(!ask(&mut connection, "/before").contains("connection: close"));
    assert_eq!((probe("kube-probe/1.36"), probe("ssr-health")), (200, 200));
    server.terminate();
    let begun = Instant::now();
    while probe("kube-probe/1.36") != 503 {
        assert!(begun.elapsed() < Duration::from_secs(2), "health checks go on to succeed");
    }
    assert_eq!(probe("ssr-health"), 503);
    // New connections, and one more request on those that are open.
    let new = server.get("/new");
    assert_eq!((new.status, new.text()), (200, "page /new"));
    assert!(ask(&mut connection, "/after").contains("connection: close"));
    assert_eq!(connection.read(&mut [0; 16]).unwrap(), 0, "then it ends");
    let address = server.address().to_owned();
    let (code, log) = server.wait();
    assert_eq!(code, Some(0));
    assert!(log.contains("SIGTERM: accepting requests for 2s more (SSR_DRAIN_DELAY)"), "{log}");
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn without_a_delay_a_server_stops_at_once() {
    let server = Server::start(SITE, &[], &[]);
    let _idle = TcpStream::connect(server.address()).unwrap();
    let begun = Instant::now();
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("SIGTERM: draining in-flight requests"), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn all_addresses_are_those_of_ipv4_and_ipv6() {
    let server = Server::start_at("[::]:0", SITE);
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    for address in ["127.0.0.1", "[::1]"] {
        let mut connection = TcpStream::connect(format!("{address}:{port}")).expect(address);
        assert!(ask(&mut connection, "/here").contains("200 OK"), "{address}");
    }
}

#[test]
fn a_memory_limit_below_what_the_module_needs_is_a_wrong_setting() {
    let directory = tempfile::tempdir().unwrap();
    build(directory.path(), SITE);
    let served = ssr(directory.path(), &["serve", "ssr.wasm", "--render-memory-limit", "1MiB"]);
    assert_eq!(served.status.code(), Some(78), "{}", stderr(&served));
    let says = stderr(&served);
    assert!(says.contains("SSR_RENDER_MEMORY_LIMIT allows 1 MiB") && says.contains("it needs"), "{says}");
}
