//! Why a render failed.

use std::time::Duration;

/// Why a render failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The site's code threw.
    #[error("{message}{}{stack}", if stack.is_empty() { "" } else { "\n" })]
    Threw {
        /// The error's name and message.
        message: String,
        /// Its stack; may be empty.
        stack: String,
    },
    /// Nothing is left that could complete the response.
    #[error("{0}")]
    Stalled(String),
    /// The time limit was reached.
    #[error("the render took longer than {0:?} (SSR_RENDER_TIMEOUT)")]
    TimedOut(Duration),
    /// The memory limit, in bytes, was reached.
    #[error("the render needed more than {} MiB of memory (SSR_RENDER_MEMORY_LIMIT)", .0 >> 20)]
    OutOfMemory(usize),
    /// The response's headers were larger than this many bytes.
    #[error("the response has more than {} KiB of headers", .0 >> 10)]
    HeadersTooLarge(usize),
    /// Recursion went too deep.
    #[error("call stack exhausted: runaway recursion?")]
    StackExhausted,
    /// The module trapped or broke the ABI.
    #[error("the module trapped: {0}")]
    Trapped(String),
    /// The module returned without a complete response.
    #[error("the module returned without completing a response")]
    Incomplete,
    /// The request waited too long for a render thread.
    #[error("no render thread was free within {0:?} (SSR_QUEUE_TIMEOUT)")]
    Queued(Duration),
    /// The unloaded module could not be loaded again.
    #[error("the module cannot be loaded again: {0}")]
    NotLoaded(String),
    /// The server itself failed while it rendered.
    #[error("the server panicked: {0}; this is a bug in containerd-shim-ssr, please report it")]
    Panicked(String),
    /// The client closed the connection.
    #[error("the client closed the connection")]
    ClientGone,
}

/// Ends a call from within a host function; becomes the [`RenderError`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Stop(pub RenderError);

impl Stop {
    pub(crate) fn with(error: RenderError) -> wasmtime::Error {
        wasmtime::Error::new(Self(error))
    }

    /// A guest that broke the ABI: `what` completes "the module trapped: …".
    pub(crate) fn trap(what: impl Into<String>) -> wasmtime::Error {
        Self::with(RenderError::Trapped(what.into()))
    }
}

/// A failure that the guest itself reported.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whether the site awaits what cannot happen any more, rather than having thrown.
    pub stalled: bool,
    /// The message.
    pub message: String,
    /// The stack; may be empty.
    pub stack: String,
}

impl From<Failure> for RenderError {
    fn from(failure: Failure) -> Self {
        let Failure { stalled, message, stack } = failure;
        if stalled { Self::Stalled(message) } else { Self::Threw { message, stack } }
    }
}
