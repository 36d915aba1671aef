//! A site's module, compiled: one fresh instance for each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use wasmtime::{Engine, Extern, InstancePre, Module, ModuleExport, Store, Trap};

use crate::code_cache::Code;
use crate::engine;
use crate::error::StartError;
use crate::guest::{self, GuestState, Part, RenderError, Stop};
use crate::module;
use crate::resident;
use crate::settings::Settings;
use crate::time_limit::{Interruption, TimeLimit};

/// A module that renders pages.
pub struct Site {
    name: String,
    settings: Settings,
    backend: &'static str,
    /// From where the code can be mapped again. `None` if it was compiled here.
    code: Option<Code>,
    /// `None` while the site rests.
    ready: Mutex<Option<Arc<Ready>>>,
}

/// What renders need: the engine with its memories, and the code.
struct Ready {
    engine: Engine,
    instance: InstancePre<GuestState>,
    exports: Exports,
    time_limit: TimeLimit,
    /// How many renders each of the pool's memories, by address, has seen.
    renders: Mutex<HashMap<usize, u32>>,
}

/// After so many renders a memory is touched again. Its pages stay as they are,
/// unless a page wrote to so many others that the engine has given some back.
const WARM_AGAIN: u32 = 64;
/// The first render that is worth it: before, somebody waits for a site to start, and
/// perhaps for nothing but this page.
const WARM_FIRST: u32 = 2;

/// What the render ABI has every site's module export.
struct Exports {
    memory: ModuleExport,
    input: ModuleExport,
    render: ModuleExport,
    /// Called now and then where finished renders' pages are kept and restored.
    warm: Option<ModuleExport>,
}

/// Where a render's response goes, and under what name its log lines appear.
pub struct Destination {
    /// The request's id.
    pub id: Arc<str>,
    /// Receives the response.
    pub parts: mpsc::Sender<Part>,
    /// The runtime on which a streamed response waits for a slow client.
    pub runtime: tokio::runtime::Handle,
}

fn internal(error: wasmtime::Error) -> StartError {
    StartError::Internal(format!("{error:#}"))
}

fn no_clock(error: std::io::Error) -> StartError {
    StartError::Internal(format!("no thread for the clock: {error}"))
}

impl Site {
    /// Compiles the module in `bytes`; `name` is what errors call it.
    pub fn new(name: &str, bytes: &[u8], settings: &Settings) -> Result<Self, StartError> {
        Self::with_interruption(name, bytes, settings, Interruption::cheapest())
    }

    /// The same, with a choice of how endless loops are stopped.
    pub fn with_interruption(
        name: &str,
        bytes: &[u8],
        settings: &Settings,
        interruption: Interruption,
    ) -> Result<Self, StartError> {
        let unusable = |reason| StartError::Module { name: name.to_owned(), reason };
        module::check(bytes).map_err(unusable)?;
        let engine = engine::engine(settings, interruption).map_err(internal)?;
        let module = Module::from_binary(&engine, bytes).map_err(|error| {
            unusable(format!("it does not compile: {error:#}; build it again with `ssr build`"))
        })?;
        let time_limit = TimeLimit::start(&engine, &module, interruption).map_err(no_clock)?;
        let Some(time_limit) = time_limit else {
            log::debug!("renders of this module cannot be ended by signals; compiling it for epochs");
            return Self::with_interruption(name, bytes, settings, Interruption::Epoch);
        };
        Ok(Self::of(Ready::of_module(name, &module, time_limit, settings)?, name, None, settings))
    }

    /// Maps compiled code.
    pub fn load(name: &str, code: Code, settings: &Settings) -> Result<Self, StartError> {
        for warning in &code.warnings {
            log::warn!("{warning}");
        }
        Ok(Self::of(Ready::map(name, &code, settings)?, name, Some(code), settings))
    }

    fn of(ready: Ready, name: &str, code: Option<Code>, settings: &Settings) -> Self {
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            backend: engine::backend(&ready.engine),
            code,
            ready: Mutex::new(Some(Arc::new(ready))),
        }
    }

    fn ready(&self) -> Result<Arc<Ready>, RenderError> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let (None, Some(code)) = (&*ready, &self.code) {
            let mapped = Ready::map(&self.name, code, &self.settings);
            *ready = Some(Arc::new(mapped.map_err(|error| RenderError::Asleep(error.to_string()))?));
        }
        // Without code there is no rest.
        ready.clone().ok_or_else(|| RenderError::Asleep("it has no code".to_owned()))
    }

    /// Gives the memory back that renders have used. The next one has it made anew,
    /// which takes some milliseconds.
    pub fn rest(&self) {
        if self.code.is_none() {
            return;
        }
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = None;
        resident::trim_heap();
    }

    /// The back end's name.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// Renders the request in `input` (see docs/render-abi.md). The response goes
    /// to `destination`; if part of it has been sent when the render fails, the
    /// error tells what to log, and the response stays incomplete.
    pub fn render(&self, input: &[u8], destination: Destination) -> Result<(), RenderError> {
        self.ready()?.render(input, destination, &self.settings)
    }
}

impl Ready {
    fn map(name: &str, code: &Code, settings: &Settings) -> Result<Self, StartError> {
        let file = code.file.try_clone().map_err(|error| StartError::Internal(error.to_string()))?;
        let interruption = code.about.interruption;
        let engine = engine::engine(settings, interruption).map_err(internal)?;
        // SAFETY: the file is from this binary's own compiler, by way of a directory that
        // only the node's administrator writes to.
        let module = unsafe { Module::deserialize_open_file(&engine, file) }.map_err(internal)?;
        let time_limit = TimeLimit::start(&engine, &module, interruption).map_err(no_clock)?;
        let time_limit = time_limit.ok_or_else(|| {
            StartError::Internal(format!(
                "renders of {name} cannot be ended; its compiled code is another machine's"
            ))
        })?;
        Self::of_module(name, &module, time_limit, settings)
    }

    fn of_module(
        name: &str,
        module: &Module,
        time_limit: TimeLimit,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let unusable = |reason| StartError::Module { name: name.to_owned(), reason };
        let export = |name: &str| {
            module.get_export_index(name).ok_or_else(|| {
                unusable(format!(
                    "it lacks the export '{name}' of the render ABI; build it again with `ssr build`"
                ))
            })
        };
        let exports = Exports {
            memory: export("memory")?,
            input: export("ssr_input")?,
            render: export("ssr_render")?,
            warm: module.get_export_index("ssr_warm").filter(|_| engine::keeps_pages()),
        };
        if let Some(least) = module.resources_required().max_initial_memory_size
            && least > settings.render_memory as u64
        {
            return Err(unusable(format!(
                "it needs {} MiB of memory to begin with, and SSR_RENDER_MEMORY allows {} MiB; raise that",
                least.div_ceil(1 << 20),
                settings.render_memory >> 20
            )));
        }
        let engine = module.engine().clone();
        let instance =
            guest::linker(&engine).and_then(|linker| linker.instantiate_pre(module)).map_err(|error| {
                unusable(format!("it does not link: {error:#}; build it again with `ssr build`"))
            })?;
        // Now, rather than during the first request.
        module.initialize_copy_on_write_image().map_err(internal)?;
        Ok(Self { engine, instance, exports, time_limit, renders: Mutex::default() })
    }

    fn render(&self, input: &[u8], destination: Destination, settings: &Settings) -> Result<(), RenderError> {
        let Destination { id, parts, runtime } = destination;
        let timeout = settings.render_timeout;
        let state = GuestState::new(id, timeout, settings.render_memory).with_response(parts, runtime);
        let mut store = Store::new(&self.engine, state);
        store.limiter(GuestState::limiter);
        let limited = self.time_limit.limit(&mut store, timeout);
        let result = self.call(&mut store, input);
        let reached = limited.reached();
        drop(limited);
        result.map_err(|error| explain(&error, reached, timeout))?;
        let state = store.data_mut();
        match state.take_failure() {
            Some(failure) => Err(failure.into()),
            None if state.ended() => Ok(()),
            None => Err(RenderError::Incomplete),
        }
    }

    fn call(&self, store: &mut Store<GuestState>, input: &[u8]) -> wasmtime::Result<()> {
        let instance = self.instance.instantiate(&mut *store)?;
        let missing = || wasmtime::Error::msg("an export of the render ABI has another type");
        let mut export = |export| instance.get_module_export(&mut *store, export).ok_or_else(missing);
        let memory = export(&self.exports.memory)?.into_memory().ok_or_else(missing)?;
        let make_room = export(&self.exports.input)?.into_func().ok_or_else(missing)?;
        let render = export(&self.exports.render)?.into_func().ok_or_else(missing)?;
        let warm = self.exports.warm.as_ref().map(&mut export).transpose()?.and_then(Extern::into_func);
        store.data_mut().memory = Some(memory);
        if let Some(warm) = warm
            && self.is_cold(memory.data_ptr(&*store).addr())
        {
            warm.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        }
        let length = u32::try_from(input.len())?;
        let at = make_room.typed::<u32, u32>(&*store)?.call(&mut *store, length)?;
        memory.write(&mut *store, at as usize, input)?;
        render.typed::<(), ()>(&*store)?.call(&mut *store, ())
    }

    /// Whether the memory at this address is to be touched before it is used.
    fn is_cold(&self, memory: usize) -> bool {
        let mut renders = self.renders.lock().unwrap_or_else(PoisonError::into_inner);
        let renders = renders.entry(memory).or_default();
        *renders = renders.wrapping_add(1);
        *renders % WARM_AGAIN == WARM_FIRST
    }
}

/// Why a call failed; `time_is_up` says that its time limit was reached.
fn explain(error: &wasmtime::Error, time_is_up: bool, timeout: Duration) -> RenderError {
    if let Some(Stop(error)) = error.downcast_ref() {
        return error.clone();
    }
    match error.downcast_ref::<Trap>() {
        Some(_) if time_is_up => RenderError::TimedOut(timeout),
        Some(Trap::Interrupt) => RenderError::TimedOut(timeout),
        Some(Trap::StackOverflow) => RenderError::StackExhausted,
        Some(trap) => RenderError::Trapped(trap.to_string()),
        None => RenderError::Trapped(format!("{error:#}")),
    }
}
