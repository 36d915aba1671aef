//! Evaluates the site's bundle in the engine guest.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ssr_wasm::abi::exports;
use ssr_wasm::abi::imports;
use ssr_wasm::abi::request::encode_field;
use ssr_wasm::abi::state::GuestState;
use ssr_wasm::interrupt::Epochs;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store};

/// How long a site's module may take to load.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How much memory a site's module may use while it loads, in bytes.
const LOAD_MEMORY: usize = 1 << 30;

/// Stack for WebAssembly frames while the module loads, in bytes: more than what the engine's
/// own limit lets recursion use in code that is not optimized.
const LOAD_STACK: usize = 64 << 20;

/// Stack for everything else on the thread that loads the module, in bytes.
const HOST_STACK: usize = 1 << 20;

/// What the guest is given.
pub struct Bundle<'a> {
    /// The bundle's file name, as stack traces show it.
    pub name: &'a str,
    /// Its JavaScript.
    pub source: &'a str,
    /// The page template.
    pub template: Option<&'a str>,
}

/// The compiled engine guest and a store to run it in.
pub struct Evaluation {
    module: Module,
    store: Store<GuestState>,
}

impl Evaluation {
    /// Compiles `engine`. The site's code sees `date`, in nanoseconds since 1970.
    pub fn prepare(engine: &[u8], date: u64) -> Result<Self> {
        let runner = Engine::new(&config()).map_err(anyhow::Error::msg)?;
        let module = Module::from_binary(&runner, engine).map_err(anyhow::Error::msg)?;
        let state = GuestState::new("build".into(), LOAD_TIMEOUT, LOAD_MEMORY).at_build_time(date);
        let mut store = Store::new(&runner, state);
        store.limiter(GuestState::limiter);
        Ok(Self { module, store })
    }

    /// Evaluates the bundle within the limits. The inner error is a trap; what the
    /// site's code threw is left in the store's state.
    pub fn run(mut self, bundle: &Bundle) -> Result<wasmtime::Result<(Store<GuestState>, Instance)>> {
        let runner = self.store.engine().clone();
        let linker = imports::linker(&runner).map_err(anyhow::Error::msg)?;
        let time_limit = Epochs::start(&runner).context("cannot start the thread that limits time")?;
        let limited = time_limit.limit(&mut self.store, LOAD_TIMEOUT);
        let (store, module) = (&mut self.store, &self.module);
        let evaluate = || {
            let instance = linker.instantiate(&mut *store, module)?;
            call(store, instance, bundle)?;
            Ok(instance)
        };
        let evaluated = thread::scope(|scope| {
            let builder = thread::Builder::new().stack_size(LOAD_STACK + HOST_STACK);
            let thread = builder.spawn_scoped(scope, evaluate).context("cannot start a thread")?;
            thread.join().map_err(|_| anyhow::anyhow!("the engine panicked"))
        })?;
        drop(limited);
        Ok(evaluated.map(|instance| (self.store, instance)))
    }
}

/// The code runs once: compiling it fast matters more than fast code.
fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None);
    config.epoch_interruption(true);
    config.max_wasm_stack(LOAD_STACK);
    // wasmtime refuses the other one if it is larger.
    config.async_stack_size(LOAD_STACK);
    config.wasm_backtrace_max_frames(None);
    config
}

fn call(store: &mut Store<GuestState>, instance: Instance, bundle: &Bundle) -> wasmtime::Result<()> {
    let mut input = Vec::new();
    for field in [Some(bundle.name), Some(bundle.source), bundle.template] {
        encode_field(&mut input, field.map(str::as_bytes));
    }
    let memory = instance
        .get_memory(&mut *store, exports::MEMORY)
        .ok_or_else(|| wasmtime::Error::msg("the engine exports no memory"))?;
    store.data_mut().memory = Some(memory);
    // A reactor's constructors, which set up the C library.
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call(&mut *store, ())?;
    }
    let length = u32::try_from(input.len())?;
    let at = instance.get_typed_func::<u32, u32>(&mut *store, exports::INPUT)?.call(&mut *store, length)?;
    memory.write(&mut *store, at as usize, &input)?;
    // The result only says whether it failed; the failure itself is in the state.
    instance.get_typed_func::<(), u32>(&mut *store, "ssr_init")?.call(&mut *store, ())?;
    Ok(())
}
