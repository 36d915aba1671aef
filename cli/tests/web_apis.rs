//! The web APIs of the engine, against Node and the standards: each case in web_apis/ runs
//! as a site under `ssr serve` and in Node, and both must give the same. Where Node 20
//! differs from a standard, the case says what the standard wants.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod common;

use std::io::Read as _;

use common::{Server, in_node};
use serde_json::{Map, Value};

const PRELUDE: &str = include_str!("web_apis/prelude.js");
const RUN: &str = include_str!("web_apis/run.js");

fn check(cases: &str) {
    let bundle = format!("{PRELUDE}{cases}{RUN}");
    let server = Server::start(&bundle, &[], &[]);
    let ask = |path| -> Map<String, Value> {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    let (ours, node) = (ask("/cases"), in_node(&bundle));
    let mut wrong = Vec::new();
    for (name, wanted) in &node {
        if ours.get(name) != Some(wanted) {
            wrong.push(format!("{name}:\n  here {:?}\n  Node {wanted}", ours.get(name)));
        }
    }
    for (name, case) in &ask("/beyond-node") {
        if case["got"] != case["wanted"] {
            wrong.push(format!("{name}:\n  here {}\n  the standard {}", case["got"], case["wanted"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), node.len(), wrong.join("\n"));
}

#[test]
fn headers_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/headers.js"));
}

#[test]
fn bodies_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/bodies.js"));
}

#[test]
fn blobs_files_and_forms_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/files.js"));
}

#[test]
fn requests_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/requests.js"));
}

#[test]
fn responses_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/responses.js"));
}

#[test]
fn urls_and_their_parameters_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/url.js"));
}

#[test]
fn events_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/events.js"));
}

#[test]
fn signals_and_message_ports_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/signals.js"));
}

#[test]
fn text_is_encoded_and_decoded_as_in_node_and_by_the_standard() {
    check(include_str!("web_apis/encoding.js"));
}

#[test]
fn exceptions_and_base64_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/globals.js"));
}

#[test]
fn streams_are_those_of_node_and_the_standard() {
    check(include_str!("web_apis/streams.js"));
}

const SITE: &str = "
const later = (ms) => new Promise((done) => setTimeout(done, ms));
async function* parts() { yield 'one;'; await later(300); yield new TextEncoder().encode('two;'); }
export default { async fetch(request) {
  switch (new URL(request.url).pathname) {
    case '/form': { const form = await request.formData(); return new Response(`${form.get('a')} ${await form.get('f').text()} ${form.get('f').name}`); }
    case '/iterable': return new Response(parts());
    case '/read': { const response = new Response('a'); await response.text(); return response; }
    case '/surrogates': console.log('logged\\ud800'); return new Response('a\\ud800b');
    case '/throw': throw new Error('thrown\\ud800');
    case '/error': return Response.error();
    default: return new Response(await request.arrayBuffer());
  }
} };";

#[test]
fn an_async_iterable_is_sent_as_it_comes() {
    let server = Server::start(SITE, &[], &[]);
    let mut rest = server.get_until("/iterable", "one;");
    let mut text = String::new();
    rest.read_to_string(&mut text).unwrap();
    assert!(text.contains("two;"), "{text}");
}

#[test]
fn what_leaves_the_engine_is_whole() {
    let server = Server::start(SITE, &[], &[]);
    assert_eq!(server.get("/surrogates").text(), "a\u{fffd}b");
    assert_eq!(server.send("POST / HTTP/1.1", b"\xff\x00a").body, b"\xff\x00a");
    server.get("/throw");
    let (_, log) = server.stop();
    for text in ["logged\u{fffd}\n", "thrown\u{fffd}\n"] {
        assert!(log.contains(text), "{log}");
    }
}

#[test]
fn a_form_with_a_file_reaches_the_site() {
    let server = Server::start(SITE, &[], &[]);
    let body = "--B\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nä\r\n--B\r\n\
        content-disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n€\r\n--B--\r\n";
    let head = "POST /form HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=B";
    assert_eq!(server.send(head, body.as_bytes()).text(), "ä € n");
}

#[test]
fn a_response_that_cannot_be_sent_is_a_500_and_the_log_says_why() {
    let server = Server::start(SITE, &[], &[]);
    assert_eq!((server.get("/read").status, server.get("/error").status), (500, 500));
    let (_, log) = server.stop();
    assert!(log.contains("the body has been read already"), "{log}");
    assert!(log.contains("invalid status 0"), "{log}");
}
