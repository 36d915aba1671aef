//! Evaluates sites and sends them requests, on the native build of the engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say so at once")]

use ssr_engine::host::{self, Recorder};
use ssr_engine::{ssr_init, ssr_input, ssr_render};

fn encode(fields: &[Option<&str>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend(field.map_or(u32::MAX, |f| f.len() as u32).to_le_bytes());
        bytes.extend(field.unwrap_or_default().as_bytes());
    }
    bytes
}

fn put(fields: &[Option<&str>]) {
    let bytes = encode(fields);
    let at = ssr_input(bytes.len());
    // SAFETY: `ssr_input` allocated that many bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
}

fn load(source: &str, template: Option<&str>) -> Recorder {
    put(&[Some("entry.js"), Some(source), template]);
    ssr_init();
    host::take()
}

fn site(source: &str) {
    assert_eq!(load(source, None), Recorder::default());
}

fn ask_with(method: &str, path: &str, headers: &str, body: Option<&str>, env: &str) -> Recorder {
    let url = format!("http://example.test{path}");
    put(&[Some(method), Some(&url), Some(path), Some(headers), body, Some(env)]);
    ssr_render();
    host::take()
}

fn ask(path: &str) -> Recorder {
    ask_with("GET", path, "", None, "")
}

fn body(answer: &Recorder) -> &str {
    assert_eq!(answer.failure, None);
    assert!(answer.ended, "the response was not completed: {answer:?}");
    std::str::from_utf8(&answer.body).unwrap()
}

fn message(answer: &Recorder) -> &str {
    &answer.failure.as_ref().expect("a failure").1
}

#[test]
fn render_may_return_a_string() {
    site("export const render = (url) => `<p>${url}</p>`");
    let answer = ask("/a?b=1");
    assert_eq!(body(&answer), "<p>/a?b=1</p>");
    assert_eq!((answer.status, &*answer.headers), (200, "content-type\ntext/html; charset=utf-8\n"));
}

#[test]
fn render_may_return_html_and_head_as_an_array() {
    let template = "<head><!--app-head--></head><div><!--app-html--></div>";
    for (page, right) in [
        ("['<i>a</i>', '<link>']", "<head><link></head><div><i>a</i></div>"),
        ("['<i>a</i>']", "<head></head><div><i>a</i></div>"),
    ] {
        assert_eq!(load(&format!("export const render = () => {page}"), Some(template)), Recorder::default());
        assert_eq!(body(&ask("/")), right);
    }
    for page in ["[]", "['a', 'b', 'c']", "[1]"] {
        site(&format!("export const render = () => {page}"));
        let answer = ask("/");
        assert!(message(&answer).contains("return a string"), "{}", message(&answer));
    }
}

#[test]
fn a_page_fills_the_template_and_sets_status_and_headers() {
    let source = "export async function render() {
        await new Promise((done) => setTimeout(done, 5));
        return { html: '<i>$& page</i>', head: '<title>T</title>', status: 404, headers: { 'X-A': 'b' } };
    }";
    let template = "<head><!--app-head--></head><div><!-- ssr-outlet --></div>";
    assert_eq!(load(source, Some(template)), Recorder::default());
    let answer = ask("/");
    assert_eq!(body(&answer), "<head><title>T</title></head><div><i>$& page</i></div>");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers, "content-type\ntext/html; charset=utf-8\nx-a\nb\n");
}

#[test]
fn fetch_comes_before_render_and_gets_request_env_and_body() {
    site(
        "export const render = () => 'render';
         export default { async fetch(request, env, ctx) {
            const url = new URL(request.url);
            const lines = [request.method, url.pathname, url.searchParams.get('q'), request.headers.get('X-Two'),
                env.NAME, process.env.OTHER, await request.text(), typeof ctx.waitUntil];
            return new Response(lines.join('|'), { status: 201 });
         } };",
    );
    let answer =
        ask_with("POST", "/p?q=%C3%A4+b", "x-two\n1\nx-two\n2\n", Some("grüße"), "NAME=a=b\nc\0OTHER=x\0");
    assert_eq!(body(&answer), "POST|/p|ä b|1, 2|a=b\nc|x|grüße|function");
    assert_eq!((answer.status, &*answer.headers), (201, "content-type\ntext/plain;charset=UTF-8\n"));
}

#[test]
fn a_streamed_response_arrives_chunk_by_chunk() {
    site(
        "export default { fetch: () => new Response(new ReadableStream({
            async pull(controller) {
                this.n = (this.n ?? 0) + 1;
                await new Promise((done) => setTimeout(done, 1));
                if (this.n > 3) controller.close(); else controller.enqueue(new TextEncoder().encode(`${this.n};`));
            } }), { headers: { 'content-type': 'text/plain' } }) }",
    );
    let answer = ask("/");
    assert!(answer.streaming);
    assert_eq!(body(&answer), "1;2;3;");
}

#[test]
fn a_page_that_waits_forever_is_reported_as_stalled() {
    site("export const render = () => new Promise(() => {})");
    let answer = ask("/");
    assert_eq!(answer.failure.as_ref().map(|f| f.0), Some(host::STALLED));
    assert_eq!(message(&answer), "the page awaits a promise that will never settle");
}

#[test]
fn a_thrown_error_is_reported_with_message_stack_and_cause() {
    site(
        "function deep() { throw new TypeError('no', { cause: new Error('why') }) }\nexport const render = () => deep()",
    );
    let answer = ask("/");
    let (kind, message, stack) = answer.failure.expect("a failure");
    assert_eq!((kind, &*message), (host::THREW, "TypeError: no"));
    assert!(stack.contains("at deep (entry.js:1:"), "{stack}");
    assert!(stack.contains("caused by Error: why"), "{stack}");
}

#[test]
fn an_unhandled_rejection_is_logged_unless_a_handler_is_added_later() {
    site(
        "export const render = async (url) => {
            const lost = Promise.reject(new Error('lost'));
            if (url === '/caught') lost.catch(() => {});
            return 'fine';
        }",
    );
    let answer = ask("/");
    assert_eq!(body(&answer), "fine");
    assert!(answer.log[0].1.contains("unhandled promise rejection: Error: lost"), "{:?}", answer.log);
    assert_eq!(ask("/caught").log, []);
}

#[test]
fn the_console_formats_its_arguments_and_sets_the_level() {
    site(
        "export const render = () => {
            console.log('a %s %d', 'b', 3, { c: [1, 'd'], e: new Map([['k', null]]) });
            console.error(new RangeError('bad').message);
            return '';
        }",
    );
    assert_eq!(
        ask("/").log,
        [(2, "a b 3 { c: [ 1, 'd' ], e: Map(1) { 'k' => null } }".to_owned()), (0, "bad".to_owned())]
    );
}

#[test]
fn random_numbers_differ_between_the_build_and_each_request() {
    site(
        "const built = Math.random(); export const render = () => `${built} ${Math.random()} ${crypto.randomUUID()}`",
    );
    let (first, second) = (ask("/"), ask("/"));
    let parts = |answer: &Recorder| body(answer).split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (parts(&first), parts(&second));
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    assert_ne!(first[1], first[0]);
    assert_ne!(first[2], second[2]);
}

#[test]
fn the_performance_clock_starts_with_the_request() {
    site(
        "export const render = () => `${performance.now() < 1000} ${Math.abs(performance.timeOrigin - Date.now()) < 1000}`",
    );
    assert_eq!(body(&ask("/")), "true true");
}

#[test]
fn background_work_continues_after_the_response_and_its_failure_is_logged() {
    site(
        "export default { fetch(request, env, ctx) {
            ctx.waitUntil(new Promise((_, fail) => setTimeout(() => fail(new Error('late')), 5)));
            return new Response('done');
        } }",
    );
    let answer = ask("/");
    assert_eq!(body(&answer), "done");
    assert!(answer.log[0].1.starts_with("ctx.waitUntil: Error: late"), "{:?}", answer.log);
}

#[test]
fn url_and_search_params_behave_as_in_browsers() {
    site(
        "export const render = () => {
            const url = new URL('../b?x=1#h', 'https://user@example.com:443/a/c');
            url.searchParams.append('y', 'ü &');
            url.port = '8443';
            const params = new URLSearchParams([['b', '2'], ['a', '1']]);
            params.sort();
            let invalid;
            try { new URL('nonsense') } catch (error) { invalid = error.message }
            return [url, params, URL.canParse('/x'), invalid].join(' ');
        }",
    );
    assert_eq!(
        body(&ask("/")),
        "https://user@example.com:8443/b?x=1&y=%C3%BC+%26#h a=1&b=2 false Invalid URL: 'nonsense'"
    );
}

#[test]
fn text_decoding_works_across_chunks_and_is_strict_if_fatal() {
    site(
        "export const render = () => {
            const bytes = new TextEncoder().encode('a€😀b');
            const decoder = new TextDecoder();
            let text = '';
            for (const byte of bytes) text += decoder.decode(new Uint8Array([byte]), { stream: true });
            let strict;
            try { new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255])) } catch (e) { strict = e.name }
            return text + decoder.decode() + strict + '\\ud800';
        }",
    );
    assert_eq!(body(&ask("/")), "a€😀bTypeError\u{fffd}");
}

#[test]
fn an_error_in_the_site_is_reported_when_it_loads() {
    assert_eq!(
        message(&load("import 'react'; export const render = () => ''", None)).split(": bundle").next(),
        Some("Error: the module imports 'react', which is not in the bundle")
    );
    assert!(message(&load("export const page = 1", None)).ends_with("it exports: page"));
    assert!(message(&load("export const render = (", None)).starts_with("SyntaxError: "));
    assert!(
        message(&load("await new Promise(() => {}); export const render = 1", None))
            .starts_with("the module awaits")
    );
    assert!(message(&load("export const render = () => ''", Some("<html>"))).contains("no outlet"));
}

#[test]
fn an_invalid_return_value_is_reported_by_its_type() {
    site(
        "export const render = (url) => url === '/a' ? undefined : url === '/b' ? { html: 3 } : { html: '', status: 99 }",
    );
    assert!(message(&ask("/a")).starts_with("TypeError: render(url) returned undefined; return"));
    assert!(
        message(&ask("/b"))
            .starts_with("TypeError: render(url) returned an object whose html is number; return")
    );
    assert!(message(&ask("/c")).contains("status '99'"));
    site("export default { fetch: () => 'text' }");
    assert!(message(&ask("/")).contains("returned string; return a Response"));
}

#[test]
fn timers_started_at_build_time_do_not_fire_in_requests() {
    let loaded = load("setInterval(() => console.log('tick'), 1); export const render = () => ''", None);
    assert!(loaded.log[0].1.starts_with("dropped 1 timer(s) that the module started while it loaded"));
    assert_eq!(ask("/").log, []);
}
