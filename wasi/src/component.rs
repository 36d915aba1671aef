//! Components: their state, and compiled ones from open files.

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::grants::Network;
use crate::outgoing::Outgoing;

/// What a component's calls to the host need. One type for commands and for those that answer
/// requests: the host's functions are compiled for each type of state.
pub(crate) struct State {
    pub(crate) context: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limits: StoreLimits,
    http: WasiHttpCtx,
    outgoing: Outgoing,
}

impl State {
    /// `network` is for requests by `wasi:http`.
    pub(crate) fn new(context: WasiCtx, network: Network, limits: StoreLimits) -> Self {
        let outgoing = Outgoing(network);
        Self { context, table: ResourceTable::new(), limits, http: WasiHttpCtx::new(), outgoing }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}

/// All functions of WASI preview 2 and 3 but HTTP's. Calls wait on fibers.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Whether a component exports an interface, whose name begins so.
pub(crate) fn exports(component: &Component, interface: &str) -> bool {
    let engine = component.engine();
    component.component_type().exports(engine).any(|(name, _)| name.starts_with(interface))
}

/// A command, linked for calls on fibers.
pub(crate) enum Command {
    Preview2(p2::bindings::CommandPre<State>),
    Preview3(p3::bindings::CommandPre<State>),
}

impl Command {
    /// The interface by which a command of preview 3 is known.
    pub(crate) const PREVIEW_3: &str = "wasi:cli/run@0.3.";

    pub(crate) fn link(component: &Component) -> Result<Self> {
        let instance = linker(component.engine())?.instantiate_pre(component)?;
        match exports(component, Self::PREVIEW_3) {
            true => p3::bindings::CommandPre::new(instance).map(Self::Preview3),
            false => p2::bindings::CommandPre::new(instance).map(Self::Preview2),
        }
    }

    /// Runs it; its exit code is 0 or 1.
    pub(crate) async fn run(&self, store: &mut Store<State>) -> Result<u8> {
        let result = match self {
            Self::Preview2(command) => {
                let command = command.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(store).await?
            }
            Self::Preview3(command) => {
                let command = command.instantiate_async(&mut *store).await?;
                store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await).await??
            }
        };
        Ok(u8::from(result.is_err()))
    }
}

/// Compiled code in memory. It must outlive the component that is made of it.
pub(crate) struct Mapping(NonNull<[u8]>);

// SAFETY: the memory belongs to the value alone, and this module does not change it.
unsafe impl Send for Mapping {}
// SAFETY: the same.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// wasmtime maps components only by paths, which whoever runs them may not open again.
    fn new(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new private mapping of an open file, which nobody can change.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(ptr::null_mut(), length, protection, MapFlags::PRIVATE, file, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped nowhere"))?;
        Ok(Self(NonNull::slice_from_raw_parts(start, length)))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and used by nobody any more.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), self.0.len()) };
    }
}

/// Maps compiled code.
///
/// # Safety
/// The file must be compiled code that wasmtime wrote, as for [`Component::deserialize_raw`],
/// and the component and all that is made of it must be dropped before the mapping.
pub(crate) unsafe fn map(engine: &Engine, file: &File) -> Result<(Component, Mapping)> {
    let mapping = Mapping::new(file)?;
    // SAFETY: the caller's.
    let component = unsafe { Component::deserialize_raw(engine, mapping.0)? };
    Ok((component, mapping))
}
