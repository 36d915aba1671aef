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
    let text = format!("{} cannot be evaluated\n{}\n{stack}", entry.display(), failure.message);
    match advice(&failure.message) {
        Some(advice) => format!("{}\n{advice}", text.trim_end()),
        None => text.trim_end().to_owned(),
    }
}

/// What to do about an error that says what the bundle is.
fn advice(message: &str) -> Option<&'static str> {
    // What Node gives to CommonJS modules.
    let missing = message.strip_prefix("ReferenceError: ")?.strip_suffix(" is not defined")?;
    match missing {
        "module" | "exports" => Some(
            "It is a CommonJS module, and a site is one ES module: let the bundler write one (Vite does with `vite build \
             --ssr`; esbuild with --bundle --format=esm)",
        ),
        "require" => Some(
            "It loads other modules by require(), which only CommonJS has: bundle everything into one ES module (Vite: \
             ssr.noExternal: true; esbuild: --bundle --format=esm)",
        ),
        "__dirname" | "__filename" => Some(
            "It looks for files beside itself, and a module has none: import what it reads, so that it is bundled",
        ),
        _ => None,
    }
}
