//! Errors of a site's code while it loads.

use std::path::Path;

use anyhow::anyhow;
use ssr_wasm::abi::error::{Failure, Stop};
use wasmtime::Trap;

use super::evaluate::LOAD_TIMEOUT;
use super::stack_trace::StackTrace;

/// The evaluation was stopped by a limit or a trap.
pub fn stopped(error: &wasmtime::Error, entry: &Path) -> anyhow::Error {
    let entry = entry.display();
    if let Some(Stop(cause)) = error.downcast_ref() {
        return anyhow!("{entry}: the module did not load: {cause}");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => anyhow!(
            "{entry}: the module did not load within {LOAD_TIMEOUT:?}: is there an endless loop at its top level?"
        ),
        Some(Trap::StackOverflow) => {
            anyhow!("{entry}: the module did not load: the call stack is exhausted: runaway recursion?")
        }
        _ => anyhow!("{entry}: the module did not load: {error:#}"),
    }
}

/// What the site's code threw, with a stack trace in the site's own sources.
pub fn thrown(failure: &Failure, entry: &Path, source: &str) -> String {
    let trace = StackTrace::of(entry, source);
    let stack = trace.translate(&failure.stack);
    format!("{} cannot be evaluated\n{}\n{stack}", entry.display(), failure.message).trim_end().to_owned()
}
