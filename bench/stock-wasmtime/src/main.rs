//! `containerd-shim-stockwasmtime-v1`: wasi:http components under the stock lifecycle of
//! `containerd-shim-wasm`. runwasi's own shim for wasmtime is not published as a crate.
//! This one treats such a component in the same way: a hook compiles it once and keeps
//! the code in containerd's content store, and each request gets an instance from the
//! pool.

mod http;

use std::hash::{DefaultHasher, Hash, Hasher as _};

use anyhow::{Context as _, Result, bail};
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, WasmBinaryType, WasmLayer};
use containerd_shim_wasm::shim::{Cli, Compiler, Config, Shim, Version};
use wasmtime::component::Component;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Precompiled};

struct Stock;

impl Shim for Stock {
    type Sandbox = Server;

    fn name() -> &'static str {
        "stockwasmtime"
    }

    fn version() -> Version {
        Version { version: env!("CARGO_PKG_VERSION"), revision: "<none>" }
    }

    async fn compiler() -> Option<impl Compiler> {
        // Without the pool, which compiling does not need.
        Some(Precompiler(Engine::default()))
    }
}

struct Precompiler(Engine);

impl Compiler for Precompiler {
    fn cache_key(&self) -> impl Hash {
        let mut hasher = DefaultHasher::new();
        self.0.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    async fn compile(&self, layers: &[WasmLayer]) -> Result<Vec<Option<Vec<u8>>>> {
        let compile = |layer: &WasmLayer| match WasmBinaryType::from_bytes(&layer.layer) {
            Some(WasmBinaryType::Component) => Ok(Some(self.0.precompile_component(&layer.layer)?)),
            _ => Ok(None),
        };
        layers.iter().map(compile).collect()
    }
}

/// A component in a container.
#[derive(Clone, Default)]
struct Server;

impl Sandbox for Server {
    async fn run_wasi(&self, ctx: &impl RuntimeContext) -> Result<i32> {
        let bytes = ctx.entrypoint().source.as_bytes()?.into_owned();
        let env = ctx.envs().iter().filter_map(|entry| entry.split_once('='));
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // On a separate thread, because a tokio runtime cannot be started inside another.
        let server = std::thread::spawn(move || serve(&bytes, env));
        server.join().unwrap_or_else(|_| bail!("the server panicked"))
    }
}

fn serve(bytes: &[u8], env: Vec<(String, String)>) -> Result<i32> {
    let mut config = wasmtime::Config::new();
    let pool = PoolingAllocationConfig::default();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let component = match Engine::detect_precompiled(bytes) {
        // SAFETY: `Precompiler` put the bytes into the content store, which only root can
        // write to.
        Some(Precompiled::Component) => unsafe { Component::deserialize(&engine, bytes) },
        _ => Component::from_binary(&engine, bytes),
    };
    let component = component.map_err(anyhow::Error::from).context("the component")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(http::serve(&component, env))
}

fn main() {
    Stock::run(Config::default());
}
