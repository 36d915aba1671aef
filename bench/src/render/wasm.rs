//! Our module: a fresh instance for each render.

use anyhow::{Context as _, Result, bail};
use ssr_wasm::abi::response::{ResponsePart, ResponseSink};
use ssr_wasm::carried::attach::{CompiledEngine, Engines, attach};
use ssr_wasm::compile::CompiledCode;
use ssr_wasm::guests::Guest;
use ssr_wasm::guests::load::load_site;
use ssr_wasm::guests::snapshot::Site;
use ssr_wasm::interrupt::Interruption;
use ssr_wasm::limits::Limits;
use ssr_wasm::own_engines;
use ssr_wasm::target::Target;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::renderer::{Renderer, request, timed};

/// A compiled module.
pub struct Wasm {
    site: Box<dyn Guest>,
    runtime: Runtime,
}

impl Wasm {
    pub fn new(wasm: &[u8], interruption: Interruption) -> Result<Self> {
        Self::of(Box::new(Site::compile_for("ssr.wasm", wasm, &limits(), interruption)?))
    }

    /// The same on the machine code of its release's engine, which a program for a 32-bit machine has
    /// linked in.
    pub fn on_own_engine(wasm: &[u8], engine: &[u8]) -> Result<Self> {
        if cfg!(target_pointer_width = "32") {
            let code = own_engines::code(own_engines::all(), wasm)?;
            return Self::load(code.context("the module is of an engine that is not linked in")?.1);
        }
        let mut program = tempfile::tempfile()?;
        let targets = Target::carried().iter();
        let engines = targets.map(|target| CompiledEngine::compile(engine, "bench", *target));
        attach(&mut program, &engines.collect::<Result<Vec<_>, _>>()?)?;
        let engines = Engines::of(program)?.context("no engine for this machine")?;
        let code = own_engines::code(own_engines::carried(&engines), wasm)?;
        Self::load(code.context("the module is of another engine")?.1)
    }

    fn load(code: CompiledCode) -> Result<Self> {
        Self::of(load_site("ssr.wasm", code, &limits())?.0)
    }

    fn of(site: Box<dyn Guest>) -> Result<Self> {
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
