//! Our module: a fresh instance for each render.

use anyhow::{Result, bail};
use ssr_wasm::abi::response::{ResponsePart, ResponseSink};
use ssr_wasm::guests::Guest as _;
use ssr_wasm::guests::snapshot::Site;
use ssr_wasm::interrupt::Interruption;
use ssr_wasm::limits::Limits;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::renderer::{Renderer, request, timed};

/// A compiled module.
pub struct Wasm {
    site: Site,
    runtime: Runtime,
}

impl Wasm {
    pub fn new(wasm: &[u8], interruption: Interruption) -> Result<Self> {
        let limits = Limits { render_threads: 1, ..Limits::default() };
        let site = Site::compile_for("ssr.wasm", wasm, &limits, interruption)?;
        Ok(Self { site, runtime: Builder::new_current_thread().build()? })
    }
}

impl Renderer for Wasm {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let input = request(page);
        timed(times, || {
            let (parts, mut response) = mpsc::channel(1);
            let runtime = self.runtime.handle().clone();
            self.site.render(
                &input,
                ResponseSink { id: "bench".into(), client: None, body: None, parts, runtime },
            )?;
            match response.try_recv() {
                Ok(ResponsePart::Whole(_, body)) => Ok(body.len()),
                _ => bail!("{page}: the response is not in one piece"),
            }
        })
    }
}
