//! Our module: a fresh instance for each render.

use anyhow::{Result, bail};
use ssr_server::guest::Part;
use ssr_server::settings::Settings;
use ssr_server::site::{Destination, Site};
use ssr_server::time_limit::Interruption;
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
        let settings = Settings { render_threads: 1, ..Settings::default() };
        let site = Site::with_interruption("ssr.wasm", wasm, &settings, interruption)?;
        Ok(Self { site, runtime: Builder::new_current_thread().build()? })
    }
}

impl Renderer for Wasm {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let input = request(page);
        timed(times, || {
            let (parts, mut response) = mpsc::channel(1);
            let runtime = self.runtime.handle().clone();
            self.site.render(&input, Destination { id: "bench".into(), parts, runtime })?;
            match response.try_recv() {
                Ok(Part::Whole(_, body)) => Ok(body.len()),
                _ => bail!("{page}: the response is not in one piece"),
            }
        })
    }
}
