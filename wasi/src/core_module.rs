//! Core modules of WASI preview 1, and of its predecessor.

use std::fmt::Write as _;

use wasmtime::{Engine, ExternType, Linker, Module, StoreLimits};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{I32Exit, p0};

/// The function of a command that runs it.
pub(crate) const START: &str = "_start";
/// The function of a library that is to be called before any other.
pub(crate) const INITIALIZE: &str = "_initialize";

/// What a core module's calls to the host need.
pub(crate) struct State {
    pub(crate) context: WasiP1Ctx,
    pub(crate) limits: StoreLimits,
}

/// How calls to the host wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// With the thread.
    Blocking,
    /// On a fiber.
    OnFiber,
}

/// All functions of WASI preview 1.
pub(crate) fn linker(engine: &Engine, waiting: Waiting) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    match waiting {
        Waiting::Blocking => {
            p1::add_to_linker_sync(&mut linker, |state: &mut State| &mut state.context)?;
            p0::add_to_linker_sync(&mut linker, |state: &mut State| &mut state.context)?;
        }
        Waiting::OnFiber => {
            p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.context)?;
            p0::add_to_linker_async(&mut linker, |state: &mut State| &mut state.context)?;
        }
    }
    // wasmtime-wasi refuses codes from 126 on, which programs of other systems exit with.
    linker.allow_shadowing(true);
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(I32Exit(code).into())
        })?;
    }
    Ok(linker)
}

/// Checks that a module has a function to call. `chosen` says whether a person has named it.
pub(crate) fn check_function(module: &Module, name: &str, chosen: bool) -> Result<(), String> {
    match module.get_export(name) {
        Some(ExternType::Func(kind)) if kind.params().len() == 0 => Ok(()),
        Some(ExternType::Func(_)) => {
            Err(format!("its function '{name}' has parameters, and can only be called without"))
        }
        _ => Err(no_function(module, name, chosen)),
    }
}

/// Why there is nothing to call, and what could be.
fn no_function(module: &Module, name: &str, chosen: bool) -> String {
    let mut functions = String::new();
    let exported = module
        .exports()
        .filter(|export| matches!(export.ty(), ExternType::Func(kind) if kind.params().len() == 0));
    for export in exported.take(16) {
        // Writing to a String cannot fail.
        let _ = write!(functions, "{}{}", if functions.is_empty() { "" } else { ", " }, export.name());
    }
    let functions = match functions.as_str() {
        "" => "it exports no function that takes no parameters".to_owned(),
        functions => format!("its functions without parameters are: {functions}"),
    };
    match chosen {
        true => format!("it has no function '{name}'; {functions}"),
        false => format!(
            "it is a library, not a program: it has no function '{START}'; to call another one, write it behind the file's name \
             (/module.wasm#function); {functions}; a site is built with `ssr build`"
        ),
    }
}

/// The exit code that a failed call stands for, if the program has ended itself.
pub(crate) fn exit_code(error: &wasmtime::Error) -> Option<u8> {
    // The low byte, as of any process.
    error.downcast_ref::<I32Exit>().map(|I32Exit(code)| code.to_le_bytes()[0])
}
