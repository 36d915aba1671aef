//! Our engine's snapshots: a fresh instance for each request.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::mm::Advice;
use wasmtime::{Engine, Extern, InstancePre, Module, ModuleExport, Store, Trap};

use super::Guest;
use crate::abi::error::{RenderError, Stop};
use crate::abi::exports;
use crate::abi::imports;
use crate::abi::response::ResponseSink;
use crate::abi::state::GuestState;
use crate::compile::{CompiledCode, MachineCode, does_not_compile};
use crate::detect::{self, Kind};
use crate::engine;
use crate::interrupt::{Interruption, TimeLimit};
use crate::limits::Limits;
use crate::memory_trim;

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The module is at fault: what is wrong and what to do.
    #[error("{0}")]
    Module(String),
    /// The render's limits are too small for it: what it needs.
    #[error("{0}")]
    Limits(String),
    /// The engine failed.
    #[error("{0}")]
    Internal(String),
}

/// A site's module.
pub struct Site {
    name: String,
    limits: Limits,
    backend: &'static str,
    /// Where the code can be mapped from again; `None` if it was compiled in this process.
    code: Option<CompiledCode>,
    /// `None` while the site is unloaded.
    loaded: Mutex<Option<Arc<LoadedModule>>>,
}

/// What renders need: the engine with its memories, and the code.
struct LoadedModule {
    engine: Engine,
    instance: InstancePre<GuestState>,
    exports: Exports,
    /// Whether the module is a mapped file rather than this process's own memory.
    is_file: bool,
    time_limit: TimeLimit,
    /// How many renders each of the pool's memories, by address, has seen since it rested.
    renders: Mutex<HashMap<usize, u32>>,
}

/// A memory is warmed again after this many renders. Its pages normally stay mapped; a
/// render that writes to very many pages makes the engine unmap some.
const WARM_INTERVAL: u32 = 64;

/// The first render of a memory that warms it. The very first one does not: somebody
/// is waiting for the site to start, and may want no other page.
const FIRST_WARM_RENDER: u32 = 2;

/// The exports that the render ABI demands.
struct Exports {
    memory: ModuleExport,
    input: ModuleExport,
    render: ModuleExport,
    /// Called now and then where the pages of finished renders are kept and restored.
    warm: Option<ModuleExport>,
}

fn internal(error: wasmtime::Error) -> LoadError {
    LoadError::Internal(format!("{error:#}"))
}

/// Pages of 64 KiB of the memory that a module begins with.
fn pages_of(module: &Module) -> Option<u64> {
    module.resources_required().max_initial_memory_size
}

fn no_clock_thread(error: std::io::Error) -> LoadError {
    LoadError::Internal(format!("cannot start the thread that ends long renders: {error}"))
}

impl Site {
    /// Compiles the module in `bytes`; `name` is what log lines call it.
    pub fn compile(name: &str, bytes: &[u8], limits: &Limits) -> Result<Self, LoadError> {
        Self::compile_for(name, bytes, limits, Interruption::cheapest())
    }

    /// The same, with a choice of how long renders are interrupted.
    pub fn compile_for(
        name: &str,
        bytes: &[u8],
        limits: &Limits,
        interruption: Interruption,
    ) -> Result<Self, LoadError> {
        let kind = detect::check(bytes).map_err(LoadError::Module)?;
        if !matches!(kind, Kind::Site(_)) {
            return Err(LoadError::Module(
                "it is a WebAssembly module but not a site: it was not made by `ssr build`".to_owned(),
            ));
        }
        let engine = engine::for_rendering(interruption, limits).map_err(internal)?;
        let load = |engine: &Engine| Module::from_binary(engine, bytes);
        let module = load(&engine).map_err(|error| {
            let pages = |ample: &Limits| Ok(pages_of(&load(&engine::for_rendering(interruption, ample)?)?));
            limits
                .too_small_for(pages)
                .map_or_else(|| LoadError::Module(does_not_compile(&error, &kind)), LoadError::Limits)
        })?;
        let time_limit = TimeLimit::start(&engine, &[&module], interruption).map_err(no_clock_thread)?;
        let Some(time_limit) = time_limit else {
            log::debug!("renders of this module cannot be interrupted by signals; compiling it for epochs");
            return Self::compile_for(name, bytes, limits, Interruption::Epoch);
        };
        Ok(Self::new(LoadedModule::link(&module, false, time_limit)?, name, None, limits))
    }

    /// Maps compiled code.
    pub fn load(name: &str, code: CompiledCode, limits: &Limits) -> Result<Self, LoadError> {
        Ok(Self::new(LoadedModule::map(name, &code, limits)?, name, Some(code), limits))
    }

    fn new(loaded: LoadedModule, name: &str, code: Option<CompiledCode>, limits: &Limits) -> Self {
        Self {
            name: name.to_owned(),
            limits: limits.clone(),
            backend: engine::backend(&loaded.engine),
            code,
            loaded: Mutex::new(Some(Arc::new(loaded))),
        }
    }

    /// The back end's name.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    fn loaded(&self) -> Result<Arc<LoadedModule>, RenderError> {
        let mut loaded = self.loaded.lock();
        if let (None, Some(code)) = (&*loaded, &self.code) {
            let mapped = LoadedModule::map(&self.name, code, &self.limits);
            *loaded = Some(Arc::new(mapped.map_err(|error| RenderError::NotLoaded(error.to_string()))?));
        }
        // A site without a file of code is never unloaded.
        loaded.clone().ok_or_else(|| RenderError::NotLoaded("its code is gone".to_owned()))
    }
}

impl Guest for Site {
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        self.loaded()?.render(input, sink, &self.limits)
    }

    fn rest(&self) {
        if let Some(loaded) = &*self.loaded.lock() {
            loaded.rest(&self.limits);
        }
    }

    /// Does nothing if the code was compiled in this process. Loading takes milliseconds.
    fn unload(&self) {
        if self.code.is_none() {
            return;
        }
        *self.loaded.lock() = None;
        memory_trim::trim_when_idle();
    }
}

impl LoadedModule {
    fn map(name: &str, code: &CompiledCode, limits: &Limits) -> Result<Self, LoadError> {
        let no_file = |error: std::io::Error| LoadError::Internal(error.to_string());
        let file = code.file.try_clone().map_err(no_file)?;
        let text = match &code.machine {
            MachineCode::Shared(text) => Some(text.try_clone().map_err(no_file)?),
            MachineCode::InFile | MachineCode::Linked(_) => None,
        };
        let engine = engine::for_compiled(code.interruption, limits, text).map_err(internal)?;
        let load = |engine: &Engine| {
            // SAFETY: the file was written by this binary's own compiler and reached this process
            // by way of a directory that only the node's administrator can write to.
            unsafe { Module::deserialize_open_file(engine, file.try_clone()?) }
        };
        let module = load(&engine).map_err(|error| {
            let pages =
                |ample: &Limits| Ok(pages_of(&load(&engine::for_compiled(code.interruption, ample, None)?)?));
            limits.too_small_for(pages).map_or_else(|| internal(error), LoadError::Limits)
        })?;
        let time_limit = TimeLimit::start(&engine, &[&module], code.interruption).map_err(no_clock_thread)?;
        let time_limit = time_limit.ok_or_else(|| {
            LoadError::Internal(format!(
                "the compiled code of {name} is for another kind of machine: its renders cannot be interrupted"
            ))
        })?;
        Self::link(&module, true, time_limit)
    }

    fn link(module: &Module, is_file: bool, time_limit: TimeLimit) -> Result<Self, LoadError> {
        let export = |name: &str| {
            module.get_export_index(name).ok_or_else(|| {
                LoadError::Module(format!(
                    "it lacks the export '{name}' of the render ABI; build it again with `ssr build`"
                ))
            })
        };
        let exports = Exports {
            memory: export(exports::MEMORY)?,
            input: export(exports::INPUT)?,
            render: export(exports::RENDER)?,
            warm: module.get_export_index(exports::WARM).filter(|_| engine::keeps_pages()),
        };
        let engine = module.engine().clone();
        let instance =
            imports::linker(&engine).and_then(|linker| linker.instantiate_pre(module)).map_err(|error| {
                LoadError::Module(format!("it does not link: {error:#}; build it again with `ssr build`"))
            })?;
        // Now rather than during the first request.
        module.initialize_copy_on_write_image().map_err(internal)?;
        Ok(Self { engine, instance, exports, is_file, time_limit, renders: Mutex::default() })
    }

    fn render(&self, input: &[u8], sink: ResponseSink, limits: &Limits) -> Result<(), RenderError> {
        let timeout = limits.render_timeout;
        let mut state = GuestState::for_response(sink, timeout, limits.render_memory_limit);
        state.keep(input.len()).map_err(|_| RenderError::OutOfMemory(limits.render_memory_limit))?;
        let mut store = Store::new(&self.engine, state);
        store.limiter(GuestState::limiter);
        let limited = self.time_limit.limit(&mut store, timeout);
        let result = self.call(&mut store, input);
        let reached = limited.reached();
        drop(limited);
        result.map_err(|error| explain(&error, reached, timeout))?;
        finish(store.data_mut())
    }

    fn call(&self, store: &mut Store<GuestState>, input: &[u8]) -> wasmtime::Result<()> {
        let instance = self.instance.instantiate(&mut *store)?;
        let missing = || wasmtime::Error::msg("an export of the render ABI has the wrong type");
        let mut export = |export| instance.get_module_export(&mut *store, export).ok_or_else(missing);
        let memory = export(&self.exports.memory)?.into_memory().ok_or_else(missing)?;
        let make_room = export(&self.exports.input)?.into_func().ok_or_else(missing)?;
        let render = export(&self.exports.render)?.into_func().ok_or_else(missing)?;
        let warm = self.exports.warm.as_ref().map(&mut export).transpose()?.and_then(Extern::into_func);
        store.data_mut().memory = Some(memory);
        let cold = self.is_cold(memory.data_ptr(&*store));
        if let Some(warm) = warm
            && cold
        {
            warm.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        }
        let length = u32::try_from(input.len())?;
        let at = make_room.typed::<u32, u32>(&*store)?.call(&mut *store, length)?;
        memory.write(&mut *store, at as usize, input)?;
        render.typed::<(), ()>(&*store)?.call(&mut *store, ())
    }

    /// Whether the memory at this address should be warmed before it is used.
    fn is_cold(&self, memory: *mut u8) -> bool {
        let mut renders = self.renders.lock();
        let renders = renders.entry(memory.expose_provenance()).or_default();
        *renders = renders.wrapping_add(1);
        *renders % WARM_INTERVAL == FIRST_WARM_RENDER
    }

    /// Unmaps the pages of the pool's memories, those that renders wrote to and those of the site's
    /// image, and the image itself, from which wasmtime has restored them. No render may run.
    fn rest(&self, limits: &Limits) {
        for (memory, _) in self.renders.lock().drain() {
            // SAFETY: a slot of the engine's pool, which has at least so many bytes of addresses and
            // lives as long as the engine. No instance uses it, and wasmtime has made its contents
            // the image's and zeros again: that is also what the kernel puts there, since the slot
            // is a private mapping of the image and anonymous memory.
            unsafe { unmap(memory..memory + limits.render_memory_limit) };
        }
        if self.is_file {
            let module = self.instance.module();
            let (file, text) = (module.image_range(), module.text().as_ptr_range());
            // SAFETY: the module is mapped from its file, and wasmtime writes to no part of it but
            // the machine code, if at all.
            unsafe {
                unmap(file.start.addr()..text.start.addr());
                unmap(text.end.addr()..file.end.addr());
            }
        }
    }
}

/// Unmaps the whole pages of a range. What is touched again is what the mapping began with.
///
/// # Safety
/// The range must be mapped, privately, and what was written to it be of no use any more.
unsafe fn unmap(range: Range<usize>) {
    let page = rustix::param::page_size();
    let (start, end) = (range.start.next_multiple_of(page), range.end / page * page);
    if start >= end {
        return;
    }
    let first = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the caller's contract.
    let unmapped = unsafe { rustix::mm::madvise(first, end - start, Advice::LinuxDontNeed) };
    if let Err(error) = unmapped {
        log::debug!("cannot give back memory of a module: {error}");
    }
}

/// How a render ended whose call returned.
pub(crate) fn finish(state: &mut GuestState) -> Result<(), RenderError> {
    match state.take_failure() {
        Some(failure) => Err(failure.into()),
        None if state.ended() => Ok(()),
        None => Err(RenderError::Incomplete),
    }
}

/// Why a call failed; `time_is_up` says whether the time limit was reached.
pub(crate) fn explain(error: &wasmtime::Error, time_is_up: bool, timeout: Duration) -> RenderError {
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
