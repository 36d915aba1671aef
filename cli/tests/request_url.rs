//! Which URL a site sees, and which requests are for none.

mod common;

use common::Server;

const SITE: &str = "export default { fetch: (request) => new Response(request.url) };";

fn start(flags: &[&str]) -> Server {
    Server::start(SITE, &[("robots.txt", "User-agent: *\n")], flags)
}

#[test]
fn the_url_is_parsed_and_not_glued() {
    let server = start(&[]);
    for (request, url) in [
        ("GET /a?b HTTP/1.1\r\nhost: Example.TEST:80\r\n", "http://example.test/a?b"),
        ("GET /a/../b%22\" HTTP/1.1\r\nhost: h:81\r\n", "http://h:81/b%22%22"),
        ("GET //other.example/ HTTP/1.1\r\nhost: h\r\n", "http://h//other.example/"),
        ("GET http://other.example?b HTTP/1.1\r\nhost: h\r\n", "http://other.example/?b"),
        ("GET / HTTP/1.0\r\n", "http://localhost/"),
    ] {
        let answer = server.send_raw(&format!("{request}connection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.text()), (200, url), "{request}");
    }
}

#[test]
fn a_request_for_no_host_or_several_is_answered_400_even_for_an_asset() {
    let server = start(&[]);
    for (request, reason) in [
        ("GET / HTTP/1.1\r\n", "no Host header"),
        ("GET /robots.txt HTTP/1.1\r\n", "no Host header"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "more than one Host"),
        ("GET /robots.txt HTTP/1.1\r\nhost:\r\n", "Host is not the name of a host"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n", "Host is not the name of a host"),
        ("GET / HTTP/1.1\r\nhost: evil.example/x?\r\n", "Host is not the name of a host"),
        ("GET / HTTP/1.0\r\nhost: user@h\r\n", "Host is not the name of a host"),
        ("OPTIONS * HTTP/1.1\r\nhost: h\r\n", "must be a path"),
    ] {
        let answer = server.send_raw(&format!("{request}connection: close\r\n\r\n"));
        assert_eq!(answer.status, 400, "{request}");
        assert!(answer.text().contains(reason), "{request}: {}", answer.text());
    }
}

#[test]
fn only_a_trusted_proxy_can_say_that_the_client_used_https() {
    let https = "x-forwarded-proto: https";
    let server = start(&[]);
    for _ in 0..2 {
        assert_eq!(server.get_with("/", https).text(), "http://example.test/");
    }
    let (_, log) = server.stop();
    let said =
        "X-Forwarded-Proto from 127.0.0.1 is ignored; if that is your proxy, name it in SSR_TRUSTED_PROXIES";
    assert_eq!(log.matches(said).count(), 1, "{log}");
    let server = start(&["--trusted-proxies", "127.0.0.0/8, ::1"]);
    assert_eq!(server.get_with("/", https).text(), "https://example.test/");
    assert_eq!(server.get("/").text(), "http://example.test/");
    let server = start(&["--trusted-proxies", "10.0.0.0/8"]);
    assert_eq!(server.get_with("/", https).text(), "http://example.test/");
}
