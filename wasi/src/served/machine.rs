//! A module's or component's code in an engine that runs what answers requests, and how its calls
//! are interrupted.

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::internal;
use crate::component::{self, Mapping};
use ssr_wasm::code_source::Code;
use ssr_wasm::compile::{CompiledCode, does_not_compile};
use ssr_wasm::detect::{self, Kind};
use ssr_wasm::engine;
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::interrupt::{Interruption, TimeLimit};
use ssr_wasm::limits::Limits;

/// Code, ready to be linked.
pub(super) struct Machine<T> {
    pub(super) engine: Engine,
    pub(super) code: T,
    pub(super) interruption: Interruption,
    /// To be dropped after what is made of the code.
    pub(super) mapping: Option<Mapping>,
}

/// A module or a component.
pub(super) trait Executable: Sized {
    /// Maps compiled code.
    ///
    /// # Safety
    /// It must be code that wasmtime wrote, and outlived by the mapping.
    unsafe fn map(engine: &Engine, code: &CompiledCode) -> wasmtime::Result<(Self, Option<Mapping>)>;
    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    /// Whether its calls can be interrupted so.
    fn suits(&self, interruption: Interruption) -> bool;
    /// Pages of 64 KiB of the largest memory that it begins with.
    fn initial_pages(&self) -> Option<u64>;
}

impl Executable for Module {
    unsafe fn map(engine: &Engine, code: &CompiledCode) -> wasmtime::Result<(Self, Option<Mapping>)> {
        // SAFETY: the caller's. The module has a mapping of its own.
        unsafe { Ok((Self::deserialize_open_file(engine, code.file.try_clone()?)?, None)) }
    }

    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn suits(&self, interruption: Interruption) -> bool {
        TimeLimit::suits_module(self, interruption)
    }

    fn initial_pages(&self) -> Option<u64> {
        self.resources_required().max_initial_memory_size
    }
}

impl Executable for Component {
    unsafe fn map(engine: &Engine, code: &CompiledCode) -> wasmtime::Result<(Self, Option<Mapping>)> {
        // SAFETY: the caller's.
        let (component, mapping) = unsafe { component::map(engine, &code.file)? };
        Ok((component, Some(mapping)))
    }

    fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn suits(&self, interruption: Interruption) -> bool {
        TimeLimit::suits_component(self, interruption)
    }

    fn initial_pages(&self) -> Option<u64> {
        self.resources_required()?.max_initial_memory_size
    }
}

impl<T: Executable> Machine<T> {
    /// Loads compiled code of this kind, or compiles: for signals if they can interrupt it,
    /// otherwise for epochs.
    ///
    /// # Errors
    /// If it does not compile.
    pub(super) fn load(code: &Code, kind: &Kind, limits: &Limits) -> Result<Self, LoadError> {
        let interruption = match code {
            Code::Compiled(code) => code.interruption,
            Code::Bytes(bytes) => {
                detect::check(bytes).map_err(LoadError::Module)?;
                Interruption::cheapest()
            }
        };
        let machine = Self::with(code, kind, interruption, limits)?;
        match code {
            Code::Bytes(_) if !machine.code.suits(interruption) => {
                Self::with(code, kind, Interruption::Epoch, limits)
            }
            _ => Ok(machine),
        }
    }

    fn with(
        code: &Code,
        kind: &Kind,
        interruption: Interruption,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let engine = engine::for_handlers(kind.form(), interruption, limits).map_err(internal)?;
        let (code, mapping) = in_engine(&engine, code, kind, interruption, limits)?;
        Ok(Self { engine, code, interruption, mapping })
    }
}

/// Loads code into an engine that is there already, for renders that are interrupted so and have
/// these limits.
pub(super) fn in_engine<T: Executable>(
    engine: &Engine,
    code: &Code,
    kind: &Kind,
    interruption: Interruption,
    limits: &Limits,
) -> Result<(T, Option<Mapping>), LoadError> {
    let load = |engine: &Engine| match code {
        // SAFETY: the file was written by this binary's own compiler and reached this process by
        // way of a directory that only the node's administrator can write to. Whoever gets the
        // code drops it before the mapping.
        Code::Compiled(code) => unsafe { T::map(engine, code) },
        Code::Bytes(bytes) => Ok((T::compile(engine, bytes)?, None)),
    };
    load(engine).map_err(|error| {
        let pages = |ample: &Limits| {
            // The mapping is dropped last.
            let (code, _mapping) = load(&engine::for_handlers(kind.form(), interruption, ample)?)?;
            let pages = code.initial_pages();
            drop(code);
            Ok(pages)
        };
        match (limits.too_small_for(pages), code) {
            (Some(reason), _) => LoadError::Limits(reason),
            (None, Code::Compiled(_)) => internal(error),
            (None, Code::Bytes(_)) => LoadError::Module(does_not_compile(&error, kind)),
        }
    })
}
