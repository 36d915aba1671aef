//! Calls on fibers, under a time limit: in compiled code as a site's render, and where the
//! program waits in the host, by leaving it there.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use wasmtime::{Store, Trap};

use ssr_wasm::abi::error::RenderError;
use ssr_wasm::interrupt::TimeLimit;

/// Why a call did not end well.
pub(crate) enum Ending {
    /// In the program.
    Trapped(wasmtime::Error),
    /// In the host, which says why.
    Render(RenderError),
}

/// Runs `call` on this thread, for no longer than `timeout`.
pub(crate) fn run<T: 'static, F: Future<Output = Result<R, Ending>>, R>(
    runtime: &Handle,
    time_limit: &TimeLimit,
    mut store: Store<T>,
    timeout: Duration,
    call: impl FnOnce(Store<T>) -> F,
) -> Result<R, RenderError> {
    let limited = time_limit.limit(&mut store, timeout);
    // Within the runtime: the timer belongs to it.
    let ended = runtime.block_on(async { tokio::time::timeout(timeout, call(store)).await });
    let reached = limited.reached();
    drop(limited);
    match ended {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(Ending::Render(error))) => Err(error),
        Ok(Err(Ending::Trapped(error))) => Err(explain(&error, reached, timeout)),
        Err(_) => Err(RenderError::TimedOut(timeout)),
    }
}

fn explain(error: &wasmtime::Error, time_is_up: bool, timeout: Duration) -> RenderError {
    match error.downcast_ref::<Trap>() {
        Some(_) if time_is_up => RenderError::TimedOut(timeout),
        Some(Trap::Interrupt) => RenderError::TimedOut(timeout),
        Some(Trap::StackOverflow) => RenderError::StackExhausted,
        // With its backtrace.
        _ => RenderError::Trapped(format!("{error:?}")),
    }
}
