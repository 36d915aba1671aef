//! The same engine without WebAssembly: one heap for all renders, no isolation.

use anyhow::{Result, ensure};
use ssr_wasm::abi::request::encode_field;

use crate::renderer::{Renderer, request, timed};

/// The engine in this process. Its state is global, so there is only one.
pub struct Native;

impl Native {
    pub fn new(entry: &[u8], template: &[u8]) -> Result<Self> {
        let mut input = Vec::new();
        for field in ["entry-server.js".as_bytes(), entry, template] {
            encode_field(&mut input, Some(field));
        }
        give(&input);
        ssr_engine::ssr_init();
        let loaded = ssr_engine::host::take();
        ensure!(loaded.failure.is_none(), "native QuickJS: {loaded:?}");
        Ok(Self)
    }
}

fn give(input: &[u8]) {
    let room = ssr_engine::ssr_input(input.len());
    // SAFETY: `ssr_input` reserved this many bytes.
    unsafe { std::ptr::copy_nonoverlapping(input.as_ptr(), room, input.len()) };
}

impl Renderer for Native {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let input = request(page);
        timed(times, || {
            give(&input);
            ssr_engine::ssr_render();
            let answer = ssr_engine::host::take();
            ensure!(answer.failure.is_none() && answer.ended, "native QuickJS: {answer:?}");
            Ok(answer.body.len())
        })
    }
}
