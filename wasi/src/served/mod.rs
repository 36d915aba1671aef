//! Modules that answer requests: [`handler`]s, components that do so themselves, and programs
//! that run anew for each request, with [`wagi`]'s or [`javy`]'s form of requests and pages.

mod fiber;
pub mod handler;
pub mod javy;
mod machine;
mod program;
pub mod wagi;

use ssr_wasm::code_source::Source;
use ssr_wasm::detect::Kind;
use ssr_wasm::guests::snapshot::LoadError;

use crate::FIBERS_WORK;

/// A module to load.
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its name and its code.
    pub source: Source,
}

fn need_fibers() -> Result<(), LoadError> {
    if FIBERS_WORK {
        return Ok(());
    }
    let reason = "it answers requests and is no site, which this build for 32-bit ARM cannot run: it lacks the patch of \
                  wasmtime's fibers";
    Err(LoadError::Module(reason.to_owned()))
}

/// The time limit, which must have been found to work.
fn time_limit_of<T>(started: std::io::Result<Option<T>>) -> Result<T, LoadError> {
    started
        .map_err(|error| {
            LoadError::Internal(format!("cannot start the thread that ends long requests: {error}"))
        })?
        .ok_or_else(|| {
            LoadError::Internal(
                "the compiled code is for another kind of machine: it cannot be interrupted".to_owned(),
            )
        })
}

fn internal(error: wasmtime::Error) -> LoadError {
    LoadError::Internal(format!("{error:#}"))
}
