//! `ssr serve`, as browsers, proxies and orchestrators see it.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{Server, binary, build, ssr, stderr};

const SITE: &str = "
const later = (ms) => new Promise((done) => setTimeout(done, ms));
export default { async fetch(request, env, ctx) {
  const { pathname, searchParams } = new URL(request.url);
  switch (pathname) {
    case '/slow': await later(Number(searchParams.get('ms'))); return new Response('slept');
    case '/loop': for (;;) ;
    case '/never': return new Promise(() => {});
    case '/throw': throw new Error('on purpose');
    case '/oom': { const all = []; for (;;) all.push(new Uint8Array(1 << 20)); }
    case '/deep': { const f = (n) => f(n + 1) + 1; return new Response(f(0)); }
    case '/stream': return new Response(new ReadableStream({ async pull(c) {
        this.n = (this.n ?? 0) + 1;
        if (this.n > 3) c.close(); else { await later(300); c.enqueue(new TextEncoder().encode(`part ${this.n};`)); }
      } }));
    case '/cut': return new Response(new ReadableStream({ async pull(c) {
        if (this.begun) { await later(300); throw new Error('halfway'); } this.begun = true; c.enqueue(new TextEncoder().encode('begun')); } }));
    case '/hold': return new Response(new ReadableStream({ async pull(c) {
        if (this.begun) await later(60000); this.begun = true; c.enqueue(new TextEncoder().encode('begun')); } }));
    case '/echo': return new Response(`${request.method} ${await request.text()} ${request.headers.get('x-a')}`);
    case '/after': ctx.waitUntil(later(Number(searchParams.get('ms') ?? 400)).then(() => console.log('done afterwards'))); return new Response('now');
    default: return new Response(`page ${pathname}`, { status: pathname === '/' ? 200 : 404, headers: { 'content-type': 'text/html' } });
  }
} };";

fn start(flags: &[&str]) -> Server {
    let assets = [
        ("assets/app-Bk3xR_2a.js", "let application;"),
        ("assets/app-Bk3xR_2a.js.br", "brotli"),
        ("robots.txt", "User-agent: *\n"),
        ("docs/index.html", "<p>docs"),
    ];
    Server::start(SITE, &assets, flags)
}

#[test]
fn pages_come_from_the_module_and_assets_from_the_directory() {
    let server = start(&[]);
    let page = server.get("/");
    assert_eq!((page.status, page.text()), (200, "page /"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(page.header("server-timing").unwrap().starts_with("render;dur="));
    assert_eq!(page.header("x-request-id").unwrap().len(), 16);
    assert_eq!(server.get("/robots.txt").text(), "User-agent: *\n");
    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(server.get("/docs").header("location"), Some("/docs/"));
    assert_eq!(server.get("/docs/").text(), "<p>docs");
}

#[test]
fn assets_are_cached_revalidated_compressed_and_sent_by_range() {
    let server = start(&[]);
    let path = "/assets/app-Bk3xR_2a.js";
    let asset = server.get(path);
    assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(asset.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(asset.header("vary"), Some("accept-encoding"));
    let tag = asset.header("etag").unwrap();
    assert_eq!(server.get_with(path, &format!("if-none-match: {tag}")).status, 304);
    let part = server.get_with(path, "range: bytes=4-6");
    assert_eq!((part.status, part.text()), (206, "app"));
    let compressed = server.get_with(path, "accept-encoding: gzip, br");
    assert_eq!((compressed.header("content-encoding"), compressed.text()), (Some("br"), "brotli"));
    let head = server.send(&format!("HEAD {path} HTTP/1.1"), b"");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("16"), 0));
    assert_eq!(server.get("/robots.txt").header("cache-control"), Some("no-cache"));
}

#[test]
fn a_missing_immutable_asset_is_neither_cached_nor_rendered() {
    let server = start(&[]);
    let miss = server.get("/assets/app-old.js");
    assert_eq!((miss.status, miss.header("cache-control")), (404, Some("no-store")));
    assert!(!miss.text().contains("page /assets"));
}

#[test]
fn work_runs_to_its_end_whenever_it_is_registered() {
    let site =
        "const later = (text) => new Promise((done) => setTimeout(done, 20)).then(() => console.log(text));
        export default { async fetch(request, env, ctx) {
          await request.text();
          const path = new URL(request.url).pathname;
          if (path === '/throw') { ctx.waitUntil(later('after a throw')); throw new Error('thrown') }
          if (path === '/stream') return new Response(new ReadableStream({
            start() { ctx.waitUntil(later('from start')) },
            pull(controller) { ctx.waitUntil(later('from pull')); controller.close() } }));
          ctx.waitUntil(later('first').then(() => ctx.waitUntil(later('second'))));
          return new Response('answered') } }";
    let server = Server::start(site, &[], &[]);
    assert_eq!(server.get("/").text(), "answered");
    assert_eq!(server.get("/stream").status, 200);
    assert_eq!(server.get("/throw").status, 500);
    let (_, log) = server.stop();
    for text in ["first", "second", "from start", "from pull", "after a throw", "Error: thrown"] {
        assert!(log.contains(text), "{text}: {log}");
    }
}

#[test]
fn recursion_without_end_can_be_caught_at_a_depth_of_nodes_order() {
    let site = "export default { fetch(request) {
        let depth = 0;
        const dive = () => { depth += 1; dive() };
        if (new URL(request.url).pathname === '/uncaught') dive();
        try { dive() } catch (error) { return new Response(`${error.name} ${depth}`) } } }";
    let server = Server::start(site, &[], &[]);
    let text = server.get("/").text().to_owned();
    let (name, depth) = text.split_once(' ').unwrap();
    assert_eq!(name, "RangeError");
    assert!((8_000..40_000).contains(&depth.parse::<u32>().unwrap()), "{depth}");
    assert_eq!(server.get("/uncaught").status, 500);
    // Nested components, each with functions of the engine between.
    let deep =
        "const nest = (depth) => depth === 0 ? '' : `<i>${[depth].map(() => nest(depth - 1)).join('')}</i>`;
        export default { fetch: () => new Response(nest(2000)) }";
    let nested = Server::start(deep, &[], &[]);
    assert_eq!(nested.get("/").text().len(), 14_000);
    let (_, log) = server.stop();
    assert!(log.contains("RangeError: Maximum call stack size exceeded"), "{log}");
}

/// What is nested too deep, by who walks it. A visitor can send the JSON.
const NESTED: &str = "
const times = (text, count = 100000) => text.repeat(count);
const nested = () => { let value = []; for (let i = 0; i < 100000; i++) value = [value]; return value };
const source = (text) => () => new Function('return ' + text)();
const cases = {
  json: () => JSON.parse(times('[')), members: () => JSON.parse(times('{\"a\":')),
  stringify: () => JSON.stringify(nested()), flat: () => nested().flat(Infinity), join: () => String(nested()),
  clone: () => structuredClone(nested()), proxies: () => { let o = {}; for (let i = 0; i < 100000; i++) o = new Proxy(o, {}); return o.x },
  parentheses: source(times('(') + '1' + times(')')), arrays: source(times('[') + times(']')),
  signs: source(times('-+') + '1'), not: source(times('!') + '1'), powers: source('1' + times('**1')),
  arrows: source(times('()=>') + '1'), assignments: source(times('a=') + '1'), conditions: source(times('1?') + '1' + times(':1')),
  templates: source(times('`${') + '1' + times('}`')), classes: source(times('class { x = ', 5000) + '1' + times('}', 5000)),
  blocks: () => new Function(times('{') + times('}')), elses: () => new Function('a', 'if(a){}' + times('else if(a){}')),
};
export default { async fetch(request) {
  const name = new URL(request.url).pathname.slice(1);
  try {
    if (name === '') return Response.json(Object.keys(cases));
    return new Response(String(name === 'body' ? await request.json() : cases[name]()));
  } catch (error) { return new Response(error.name, { status: 400 }) }
} };";

#[test]
fn what_is_nested_too_deep_is_an_error_that_a_page_can_catch() {
    let server = Server::start(NESTED, &[], &[]);
    let names: Vec<String> = serde_json::from_str(server.get("/").text()).unwrap();
    assert_eq!(names.len(), 19);
    for name in names {
        let answer = server.get(&format!("/{name}"));
        assert_eq!((answer.status, answer.text()), (400, "RangeError"), "{name}");
    }
    let sent = server.send("POST /body HTTP/1.1", "[".repeat(500_000).as_bytes());
    assert_eq!((sent.status, sent.text()), (400, "RangeError"));
    let (_, log) = server.stop();
    assert!(!log.contains("error"), "{log}");
}

#[test]
fn no_response_is_a_200_that_nobody_wrote() {
    let site = "
        const body = (pull) => new Response(new ReadableStream({ pull }));
        const cases = {
          'begun with an error': () => body(() => { throw new Error('at once') }),
          'begun with a rejection': () => body(async () => { throw new Error('later') }),
          'a generator that throws': () => new Response((async function* () { throw new Error('first') })()),
          'Response.error': () => Response.error(),
          'a body that was read': () => { const read = new Response('x'); read.text(); return read },
          nothing: () => undefined, null: () => null, number: () => 7, object: () => ({ status: 200 }),
          'a rejection': () => Promise.reject(new Error('no')), 'a rejection with nothing': () => Promise.reject(),
          'a thrown response': () => { throw new Response('no', { status: 403 }) },
        };
        export default { fetch(request) {
          const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
          return name === '' ? Response.json(Object.keys(cases)) : cases[name]();
        } };";
    let server = Server::start(site, &[], &[]);
    let names: Vec<String> = serde_json::from_str(server.get("/").text()).unwrap();
    for name in &names {
        let path = format!("/{}", name.replace(' ', "%20"));
        for method in ["GET", "HEAD"] {
            assert_eq!(server.send(&format!("{method} {path} HTTP/1.1"), b"").status, 500, "{method} {name}");
        }
    }
    let (_, log) = server.stop();
    assert!(log.matches("error: [").count() >= 2 * names.len(), "{log}");
    assert!(log.contains("returned Response.error(), which has the invalid status 0"), "{log}");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let server = start(&["--max-body-size", "1KiB"]);
    let ask = |length: usize| {
        let mut stream = connect(&server).unwrap();
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    assert_eq!(ask(1024), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(ask(1025), "HTTP/1.1 413 Payload Too Large\r\n");
}

#[test]
fn an_error_about_an_asset_is_not_kept_for_a_year() {
    let server = start(&[]);
    let path = "/assets/app-Bk3xR_2a.js";
    assert!(server.get(path).header("cache-control").unwrap().contains("immutable"));
    for (header, status) in [("range: bytes=9999-", 416), ("if-match: \"other\"", 412)] {
        let answer = server.get_with(path, header);
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-cache")), "{header}");
    }
}

#[test]
fn a_file_that_is_changed_twice_at_once_has_a_tag_for_each_content() {
    let server = start(&[]);
    let path = server.assets().join("robots.txt");
    let tags = ["User-agent: a\n", "User-agent: b\n", "User-agent: c\n"].map(|text| {
        std::fs::write(&path, text).unwrap();
        let answer = server.get("/robots.txt");
        assert_eq!(answer.text(), text);
        answer.header("etag").unwrap().to_owned()
    });
    assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
}

#[test]
fn ranges_are_those_of_the_standard() {
    let large = "0123456789".repeat(1000);
    let server = Server::start(SITE, &[("file", "0123456789"), ("empty", ""), ("large", &large)], &[]);
    for (range, status, content, text) in [
        ("bytes=-11", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("bytes=-0", 416, "bytes */10", ""),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=5-3", 200, "", "0123456789"),
        ("lines=0-1", 200, "", "0123456789"),
    ] {
        let answer = server.get_with("/file", &format!("range: {range}"));
        let found = (answer.status, answer.header("content-range").unwrap_or_default());
        assert_eq!(found, (status, content), "{range}");
        if status != 416 {
            assert_eq!(answer.text(), text, "{range}");
        }
    }
    let two = server.get_with("/large", "range: bytes=0-0,-1");
    assert_eq!(two.status, 206);
    assert!(two.header("content-type").unwrap().starts_with("multipart/byteranges"));
    // The whole file is shorter than its parts with what goes between them.
    assert_eq!(server.get_with("/file", "range: bytes=0-0,-1").text(), "0123456789");
    assert_eq!(server.get_with("/empty", "range: bytes=0-1").status, 200);
    let tag = server.get("/file").header("etag").unwrap().to_owned();
    for (condition, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let head = format!("range: bytes=0-0\r\nif-range: {condition}");
        assert_eq!(server.get_with("/file", &head).status, status, "{condition}");
    }
    let head = server.send("HEAD /file HTTP/1.1\r\nrange: bytes=0-0", b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[test]
fn assets_follow_the_directory() {
    let server =
        Server::start(SITE, &[("a.txt", "first"), ("a.txt.gz", "packed"), ("assets/x.js", "1")], &[]);
    let path = |name: &str| server.assets().join(name);
    let first = server.get("/a.txt").header("etag").unwrap().to_owned();
    assert_eq!(server.get_with("/a.txt", "accept-encoding: gzip").text(), "packed");
    // In place, with the same length. The compressed file is an old one now.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(path("a.txt"), "other").unwrap();
    let changed = server.get_with("/a.txt", &format!("if-none-match: {first}\r\naccept-encoding: gzip"));
    assert_eq!((changed.status, changed.text(), changed.header("content-encoding")), (200, "other", None));
    assert_ne!(changed.header("etag"), Some(first.as_str()));

    assert_eq!(server.get("/new/file.txt").text(), "page /new/file.txt");
    std::fs::create_dir(path("new")).unwrap();
    std::fs::write(path("new/file.txt"), "new").unwrap();
    assert_eq!(server.get("/new/file.txt").text(), "new");
    std::fs::remove_file(path("new/file.txt")).unwrap();
    assert_eq!(server.get("/new/file.txt").text(), "page /new/file.txt");

    // A name without a hash says nothing about the content.
    assert_eq!(server.get("/assets/x.js").header("cache-control"), Some("no-cache"));
}

#[test]
fn an_asset_replaced_by_something_else_is_not_sent_and_named_once_in_the_log() {
    let files = ["link", "fifo", "directory", "gone", "kept"];
    let server = Server::start(SITE, &files.map(|name| (name, "asset")), &[]);
    let path = |name: &str| server.assets().join(name);
    for name in ["link", "fifo", "directory", "gone"] {
        assert_eq!(server.get(&format!("/{name}")).text(), "asset");
        std::fs::remove_file(path(name)).unwrap();
    }
    symlink("../entry.js", path("link")).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    // Somebody else may answer for a file that is no more: the site.
    assert_eq!(server.get("/gone").text(), "page /gone");
    for name in ["link", "fifo", "directory"] {
        for _ in 0..2 {
            let answer = server.get(&format!("/{name}"));
            assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")), "{name}");
            assert!(!answer.text().contains("export default"), "{name}");
        }
    }
    std::fs::remove_file(path("link")).unwrap();
    symlink(path("kept"), path("link")).unwrap();
    assert_eq!(server.get("/link").text(), "asset");
    let (_, log) = server.stop();
    for (name, reason) in [
        ("link", "a link that leads out of the directory of assets"),
        ("fifo", "not a regular file"),
        ("directory", "not a regular file"),
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&format!("/dist/{name} is"))).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{name}: {lines:?}\n{log}");
    }
}

#[test]
fn nothing_that_a_request_leaves_in_the_site_is_there_for_the_next_one() {
    let site = "
export default { fetch() {
  globalThis.count = (globalThis.count ?? 0) + 1;
  Array.prototype.left = (Array.prototype.left ?? 0) + 1;
  return new Response(`${globalThis.count} ${[].left}`);
} };";
    // One render thread, so that the second request is rendered where the first one was.
    let server = Server::start(site, &[], &["--render-threads", "1"]);
    for _ in 0..5 {
        assert_eq!(server.get("/").text(), "1 1");
    }
    assert_eq!(server.render_threads(), 1);
}

#[test]
fn method_body_and_headers_reach_the_site_unless_the_body_is_too_large() {
    let server = start(&["--max-body-size", "1KiB"]);
    let answer = server.send("POST /echo HTTP/1.1\r\nx-a: b", "grüße".as_bytes());
    assert_eq!(answer.text(), "POST grüße b");
    assert_eq!(server.send("POST /echo HTTP/1.1", &[b'x'; 2000]).status, 413);
    assert_eq!(server.send("TRACE / HTTP/1.1", b"").status, 405);
}

#[test]
fn every_kind_of_failure_fails_one_request_and_logs_the_cause() {
    let server = start(&["--render-timeout", "2s", "--render-memory-limit", "32MiB"]);
    for (path, status) in [("/throw", 500), ("/oom", 500), ("/deep", 500), ("/loop", 504), ("/never", 504)] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")), "{path}");
        assert!(answer.text().contains(answer.header("x-request-id").unwrap()));
        assert!(!answer.text().contains("on purpose"), "the cause belongs in the log only");
        assert_eq!(server.get("/").status, 200, "after {path}");
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    for cause in [
        "GET /throw: Error: on purpose",
        "GET /oom: the render needed more than 32 MiB of memory (SSR_RENDER_MEMORY_LIMIT)",
        "GET /deep: RangeError: Maximum call stack size exceeded",
        "GET /loop: the render took longer than 2s (SSR_RENDER_TIMEOUT)",
        "GET /never: the page awaits a promise that will never settle",
    ] {
        assert!(log.contains(cause), "{cause} is not in:\n{log}");
    }
}

#[test]
fn requests_beyond_the_queue_are_told_to_retry() {
    let server = start(&["--render-threads", "1", "--render-queue", "1"]);
    let answers: Vec<_> = thread::scope(|scope| {
        let askers: Vec<_> = (0..6).map(|_| scope.spawn(|| server.get("/slow?ms=600"))).collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).collect()
    });
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert!(!busy.is_empty());
    assert!(busy.iter().all(|answer| answer.header("retry-after") == Some("1")));
}

#[test]
fn waiting_for_a_render_thread_times_out() {
    let server = start(&["--render-threads", "1", "--queue-timeout", "200ms"]);
    let held = server.get_until("/hold", "begun");
    assert_eq!(server.get("/").status, 503);
    drop(held);
}

#[test]
fn a_stream_is_chunked_and_a_failed_one_is_cut_off() {
    let server = start(&[]);
    let streamed = server.get("/stream");
    assert_eq!(streamed.header("transfer-encoding"), Some("chunked"));
    assert!(
        streamed.text().contains("part 1;") && streamed.text().ends_with("0\r\n\r\n"),
        "{}",
        streamed.text()
    );
    let cut = server.get("/cut");
    assert!(cut.text().contains("begun") && !cut.text().ends_with("0\r\n\r\n"), "{}", cut.text());
}

#[test]
fn sigterm_waits_for_requests_and_their_wait_until_work() {
    let server = start(&[]);
    assert_eq!(server.get("/after").text(), "now");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("done afterwards"), "{log}");
}

#[test]
fn pages_in_sequence_need_one_render_thread() {
    let server = start(&["--render-threads", "4"]);
    for _ in 0..200 {
        assert_eq!(server.get("/").status, 200);
    }
    assert_eq!(server.render_threads(), 1);
}

#[test]
fn concurrent_renders_have_a_thread_each() {
    let server = start(&["--render-threads", "3"]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(server.get("/slow?ms=300").text(), "slept"));
        }
    });
    assert_eq!(server.render_threads(), 3);
}

#[test]
fn a_page_does_not_wait_for_the_wait_until_work_of_another() {
    let server = start(&["--render-threads", "2"]);
    assert_eq!(server.get("/after?ms=5000").text(), "now");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.render_threads(), 2);
}

#[test]
fn an_incomplete_request_does_not_hold_its_connection() {
    let server = start(&["--header-timeout", "300ms"]);
    let address = server.address();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes the connection");
}

/// A connection that gives up waiting for the server after 20 seconds.
fn connect(server: &Server) -> std::io::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

#[test]
fn an_idle_connection_is_closed_but_not_one_whose_page_takes_longer() {
    let server = start(&["--idle-timeout", "300ms"]);
    let mut stream = connect(&server).unwrap();
    for ms in [0, 900, 0] {
        stream.write_all(format!("GET /slow?ms={ms} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("slept") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).expect("an answer");
            assert!(read > 0, "closed after {answer}");
            answer += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    }
    assert_eq!(stream.read(&mut [0]).expect("the server closes the connection"), 0);
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_answered_408() {
    let server = start(&["--body-timeout", "300ms"]);
    let mut stream = connect(&server).unwrap();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a_settings_old_name_is_refused_with_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    for (old, value, new) in [
        ("render-memory", "64MiB", "render-memory-limit"),
        ("request-body", "1MiB", "max-body-size"),
        ("client-timeout", "1s", "header-timeout, --body-timeout, --idle-timeout"),
        ("connections", "8", "max-connections"),
        ("immutable", "none", "immutable-prefix"),
        ("log", "debug", "log-level"),
    ] {
        let flag = format!("--{old}");
        let served = ssr(directory.path(), &["serve", "ssr.wasm", &flag, value]);
        assert_eq!(served.status.code(), Some(78), "{}", stderr(&served));
        assert_eq!(stderr(&served), format!("ssr: {flag} was renamed; use --{new} instead\n"));
    }
    let served = Command::new(binary())
        .current_dir(directory.path())
        .args(["serve", "ssr.wasm"])
        .env("SSR_LOG", "debug")
        .output()
        .unwrap();
    assert_eq!(served.status.code(), Some(78), "{}", stderr(&served));
    assert_eq!(stderr(&served), "ssr: SSR_LOG was renamed; use SSR_LOG_LEVEL instead\n");
}

#[test]
fn each_reason_not_to_serve_has_its_name_and_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.html"), "<html>").unwrap();
    for (args, code, says) in [
        (&["serve", "nowhere.wasm"][..], 66, "cannot read the module 'nowhere.wasm'"),
        (&["serve", "page.html"], 65, "cannot run the module 'page.html': it is not a WebAssembly module"),
        (&["serve", "page.html", "nowhere"], 66, "the directory of assets 'nowhere'"),
        (&["serve", "page.html", "--listen", "nonsense"], 78, "--listen: invalid value 'nonsense'"),
        (&["serve"], 2, "required"),
    ] {
        let served = ssr(directory.path(), args);
        assert_eq!(served.status.code(), Some(code), "{args:?}: {}", stderr(&served));
        assert!(stderr(&served).contains(says), "{}", stderr(&served));
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    build(directory.path(), "export const render = () => ''");
    let served = ssr(directory.path(), &["serve", "ssr.wasm", "--listen", &address]);
    assert_eq!(served.status.code(), Some(69), "{}", stderr(&served));
    assert!(stderr(&served).contains(&format!("cannot listen on {address}")), "{}", stderr(&served));
}

#[test]
fn sigterm_before_the_site_is_ready_stops_the_server_immediately() {
    let directory = tempfile::tempdir().unwrap();
    build(directory.path(), SITE);
    // Cargo's own carries no engine: it has to compile first.
    let mut server = Command::new(env!("CARGO_BIN_EXE_ssr"))
        .current_dir(directory.path())
        .env("XDG_CACHE_HOME", directory.path().join("cache"))
        .args(["serve", "ssr.wasm", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.starts_with("compiling"), "{line}");
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
    line.clear();
    log.read_to_string(&mut line).unwrap();
    assert_eq!(line, "SIGTERM: stopped before the site was ready\n");
}
