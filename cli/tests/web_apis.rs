//! The web APIs of the engine, against Node and the standards: each case in web_apis/ runs
//! as a site under `ssr serve` and in Node, and both must give the same. Where Node 20
//! differs from a standard, the case says what the standard wants.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod common;

use std::io::Read as _;

use common::{Server, in_node};
use serde_json::{Map, Value};

/// Cases by what they are about.
const SUITES: [(&str, &str); 12] = [
    ("bodies", include_str!("web_apis/bodies.js")),
    ("clones", include_str!("web_apis/clones.js")),
    ("encoding", include_str!("web_apis/encoding.js")),
    ("events", include_str!("web_apis/events.js")),
    ("files", include_str!("web_apis/files.js")),
    ("globals", include_str!("web_apis/globals.js")),
    ("headers", include_str!("web_apis/headers.js")),
    ("requests", include_str!("web_apis/requests.js")),
    ("responses", include_str!("web_apis/responses.js")),
    ("signals", include_str!("web_apis/signals.js")),
    ("streams", include_str!("web_apis/streams.js")),
    ("url", include_str!("web_apis/url.js")),
];

/// All cases as one site: each build and start of a site takes seconds.
fn bundle() -> String {
    let mut bundle = format!("{}\nconst suites = {{}};\n", include_str!("web_apis/prelude.js"));
    for (name, cases) in SUITES {
        let cases = cases.replace("export const ", "const ");
        bundle += &format!("suites.{name} = (() => {{\n{cases}\nreturn {{ cases, beyondNode }};\n}})();\n");
    }
    bundle + include_str!("web_apis/run.js")
}

#[test]
fn web_apis_are_those_of_node_and_the_standards() {
    let bundle = bundle();
    let server = Server::start(&bundle, &[], &["--render-timeout", "60s"]);
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
    assert!(node.len() > 700, "only {} cases ran", node.len());
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), node.len(), wrong.join("\n"));
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
