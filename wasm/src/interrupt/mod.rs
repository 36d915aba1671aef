//! Time limits for renders: how an endless loop is ended, even a hostile module's.

mod epoch;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86", target_arch = "arm")
))]
mod registers;
#[cfg_attr(
    not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86", target_arch = "arm")
    )),
    path = "unsupported.rs"
)]
mod signal;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86", target_arch = "arm")
))]
mod stack;
mod trap;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Store};

pub use epoch::Epochs;
pub use signal::Signals;

/// How long renders are interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interruption {
    /// By a signal whose handler moves the thread to a trap; compiled code has no checks.
    Signal,
    /// By wasmtime's epochs: compiled code compares a counter with its deadline at every
    /// loop and call.
    Epoch,
    /// Not at all: for measurements only.
    None,
}

impl Interruption {
    /// The cheapest kind that ends every loop on this machine.
    pub const fn cheapest() -> Self {
        if signal::SUPPORTED { Self::Signal } else { Self::Epoch }
    }

    /// Whether it works for `code`, compiled code as wasmtime serializes it.
    pub fn suits(self, code: &[u8]) -> bool {
        self != Self::Signal || trap::find(code).is_some()
    }
}

/// Ends renders that take too long.
pub enum TimeLimit {
    /// See [`Interruption::Epoch`].
    Epochs(Epochs),
    /// See [`Interruption::Signal`].
    Signals(signal::Signals),
    /// See [`Interruption::None`].
    None,
}

/// A render under a time limit, until the value is dropped.
pub enum Limited<'a> {
    /// See [`TimeLimit::Epochs`].
    Epochs(epoch::Limited<'a>),
    /// See [`TimeLimit::Signals`].
    Signals(signal::Limited<'a>),
    /// See [`TimeLimit::None`].
    None,
}

impl TimeLimit {
    /// Starts what `interruption` needs for calls into these modules, of which one may call
    /// another. `Ok(None)` if it does not work for them on this machine.
    pub fn start(
        engine: &Engine,
        modules: &[&Module],
        interruption: Interruption,
    ) -> std::io::Result<Option<Self>> {
        match interruption {
            Interruption::Epoch => Ok(Some(Self::Epochs(Epochs::start(engine)?))),
            Interruption::Signal => Ok(signal::Signals::start(modules)?.map(Self::Signals)),
            Interruption::None => Ok(Some(Self::None)),
        }
    }

    /// The same for a component.
    pub fn start_for_component(
        engine: &Engine,
        component: &Component,
        interruption: Interruption,
    ) -> std::io::Result<Option<Self>> {
        match interruption {
            Interruption::Epoch => Ok(Some(Self::Epochs(Epochs::start(engine)?))),
            Interruption::Signal => Ok(signal::Signals::start_for_component(component)?.map(Self::Signals)),
            Interruption::None => Ok(Some(Self::None)),
        }
    }

    /// Whether calls of a module, compiled for it, can be interrupted so.
    pub fn suits_module(module: &Module, interruption: Interruption) -> bool {
        interruption != Interruption::Signal || signal::Signals::suits_module(module)
    }

    /// Whether calls of a component, compiled for it, can be interrupted so.
    pub fn suits_component(component: &Component, interruption: Interruption) -> bool {
        interruption != Interruption::Signal || signal::Signals::suits_component(component)
    }

    /// Ends this thread's calls into `store` that take longer than `limit`, until the
    /// returned value is dropped.
    pub fn limit<T>(&self, store: &mut Store<T>, limit: Duration) -> Limited<'_> {
        match self {
            Self::Epochs(epochs) => Limited::Epochs(epochs.limit(store, limit)),
            Self::Signals(signals) => Limited::Signals(signals.limit(limit)),
            Self::None => Limited::None,
        }
    }
}

impl Limited<'_> {
    /// Whether the limit was reached, where the trap itself does not say so.
    pub fn reached(&self) -> bool {
        match self {
            Self::Signals(limited) => limited.reached(),
            Self::Epochs(_) | Self::None => false,
        }
    }
}
