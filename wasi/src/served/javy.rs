//! Javy: JavaScript compiled to a module with its engine inside. A request is JSON on standard
//! input, and the page comes on standard output; modules of 2022 write it to standard error.

use bytes::Bytes;
use serde_json::{Value, json};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

use super::Part;
use super::program::{Call, FindPlugin, Program};
use crate::grants::Grants;
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::abi::request::Fields;
use ssr_wasm::abi::response::{ResponseHead, ResponsePart, ResponseSink};
use ssr_wasm::guests::Guest;
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::limits::Limits;

/// A module of Javy's, perhaps with the plugin that it needs.
pub struct Javy {
    program: Program,
    function: Option<String>,
    grants: Grants,
    /// Most bytes of a page.
    most: usize,
}

impl Javy {
    /// Loads it. `function` is an export to call instead of its own start.
    ///
    /// # Errors
    /// If it is no program, does not compile, or needs what is not there.
    pub fn load(
        part: Part,
        function: Option<String>,
        grants: Grants,
        find: &mut FindPlugin<'_>,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let program = Program::load(part, find, limits)?;
        program.check(function.as_deref())?;
        Ok(Self { program, function, grants, most: limits.render_memory_limit })
    }

    /// The back end's name.
    pub fn backend(&self) -> &'static str {
        self.program.backend()
    }
}

impl Guest for Javy {
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        let request = Fields::decode(input);
        let pipe = || MemoryOutputPipe::new(self.most);
        let (output, errors) = (pipe(), pipe());
        let call = Call {
            grants: &self.grants,
            function: self.function.as_deref(),
            input: MemoryInputPipe::new(json_of(&request).to_string()),
            output: output.clone(),
            errors: Some(errors.clone()),
        };
        let ran = self.program.run(&sink.runtime, call, async { Ok(()) });
        let (page, words) = (output.contents(), errors.contents());
        let failed = !matches!(ran, Ok((0, ())));
        // The page, unless there is another one.
        if !page.is_empty() || failed {
            for line in String::from_utf8_lossy(&words).lines() {
                log::warn!("[{}] {line}", sink.id);
            }
        }
        let (code, ()) = ran?;
        if code != 0 {
            let message = format!("the module exited with {code}");
            return Err(RenderError::Threw { message, stack: String::new() });
        }
        let page = if page.is_empty() { words } else { page };
        if page.len() >= self.most {
            return Err(RenderError::OutOfMemory(self.most));
        }
        if page.is_empty() {
            return Err(RenderError::Incomplete);
        }
        send(&sink, page)
    }

    fn unload(&self) {
        self.program.unload();
    }
}

fn send(sink: &ResponseSink, page: Bytes) -> Result<(), RenderError> {
    let head = ResponseHead { status: 200, headers: "content-type\ntext/html; charset=utf-8\n".to_owned() };
    sink.parts.blocking_send(ResponsePart::Whole(head, page)).map_err(|_| RenderError::ClientGone)
}

/// A request as such modules read it. `url` is path and query, as Node's `request.url`.
fn json_of(request: &Fields<'_>) -> Value {
    let headers = request.joined_headers();
    let body = request.body.map(String::from_utf8_lossy);
    json!({ "url": request.path, "method": request.method, "headers": headers, "body": body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssr_wasm::abi::request::RenderRequest;

    #[test]
    fn a_request_is_json() {
        let request = RenderRequest {
            id: "1",
            client: None,
            method: "POST",
            url: "http://h/a?b",
            path: "/a?b",
            headers: "accept\na\naccept\nb\n",
            body: Some(b"\xc3\xa9\xff"),
        };
        let right = json!({
            "url": "/a?b", "method": "POST", "headers": { "accept": "a, b" }, "body": "é\u{fffd}"
        });
        let encoded = request.encode("");
        assert_eq!(json_of(&Fields::decode(&encoded)), right);
        let empty = RenderRequest { body: None, ..request }.encode("");
        assert_eq!(json_of(&Fields::decode(&empty))["body"], Value::Null);
    }
}
