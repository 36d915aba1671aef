//! Our module: a fresh instance for each render.

use anyhow::{Context as _, Result, bail};
use ssr_wasm::abi::response::{ResponsePart, ResponseSink};
use ssr_wasm::carried::attach::{CompiledEngine, Engines, attach};
use ssr_wasm::guests::Guest as _;
use ssr_wasm::guests::snapshot::Site;
use ssr_wasm::interrupt::Interruption;
use ssr_wasm::limits::Limits;
use ssr_wasm::target::Target;
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
        Self::of(Site::compile_for("ssr.wasm", wasm, &limits(), interruption)?)
    }

    /// The same on the machine code of its release's engine.
    pub fn carried(wasm: &[u8], engine: &[u8]) -> Result<Self> {
        let mut program = tempfile::tempfile()?;
        let targets = Target::carried().iter();
        let engines = targets.map(|target| CompiledEngine::compile(engine, "bench", *target));
        attach(&mut program, &engines.collect::<Result<Vec<_>, _>>()?)?;
        let engines = Engines::of(program)?.context("no engine for this machine")?;
        let (_, code) = engines.code(wasm)?.context("the module is of another engine")?;
        Self::of(Site::load("ssr.wasm", code, &limits())?)
    }

    fn of(site: Site) -> Result<Self> {
        Ok(Self { site, runtime: Builder::new_current_thread().build()? })
    }
}

fn limits() -> Limits {
    Limits { render_threads: 1, ..Limits::default() }
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
