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

/// A module to load.
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its name and its code.
    pub source: Source,
}

/// wasmtime's fibers do not save all registers there.
fn refuse_32_bit_arm() -> Result<(), LoadError> {
    if cfg!(target_arch = "arm") {
        return Err(LoadError::Module(
            "it answers requests and is no site, which needs a 64-bit processor; on this one, sites and commands run"
                .to_owned(),
        ));
    }
    Ok(())
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
