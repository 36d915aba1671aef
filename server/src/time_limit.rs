//! Time limits for renders: how an endless loop, even a hostile module's, is ended.

mod epochs;
#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    path = "time_limit/no_signals.rs"
)]
mod signals;
mod traps;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Engine, Module, Store};

pub use epochs::Epochs;

/// How an endless loop is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interruption {
    /// The interrupted thread is moved to a trap; compiled code has no checks.
    Signal,
    /// Compiled code compares an epoch with its deadline at every loop and call.
    Epoch,
    /// Nothing stops it: for measurements only.
    None,
}

impl Interruption {
    /// The cheapest way that ends every loop on this machine.
    pub const fn cheapest() -> Self {
        if signals::SUPPORTED { Self::Signal } else { Self::Epoch }
    }

    /// Whether it can be had for compiled code, as the engine serialises it.
    pub fn suits(self, code: &[u8]) -> bool {
        self != Self::Signal || traps::find(code).is_some()
    }
}

/// What ends renders that take too long.
pub enum TimeLimit {
    /// Compiled code looks at a counter, everywhere.
    Epochs(Epochs),
    /// Compiled code is made to trap where it is.
    Signals(signals::Signals),
    /// Nothing: for measurements only.
    None,
}

/// A render under a time limit; ends with the value.
pub enum Limited<'a> {
    /// See [`TimeLimit::Epochs`].
    Epochs(epochs::Limited<'a>),
    /// See [`TimeLimit::Signals`].
    Signals(signals::Limited<'a>),
    /// See [`TimeLimit::None`].
    None,
}

impl TimeLimit {
    /// Starts what `interruption` asks for, for renders of `module`. `Ok(None)` if
    /// that cannot be had for this module on this machine.
    pub fn start(
        engine: &Engine,
        module: &Module,
        interruption: Interruption,
    ) -> std::io::Result<Option<Self>> {
        match interruption {
            Interruption::Epoch => Ok(Some(Self::Epochs(Epochs::start(engine)?))),
            Interruption::Signal => Ok(signals::Signals::start(module)?.map(Self::Signals)),
            Interruption::None => Ok(Some(Self::None)),
        }
    }

    /// Ends the calls into `store`, made by this thread, that take longer than
    /// `limit`, until the returned value is dropped.
    pub fn limit<T>(&self, store: &mut Store<T>, limit: Duration) -> Limited<'_> {
        match self {
            Self::Epochs(epochs) => Limited::Epochs(epochs.limit(store, limit)),
            Self::Signals(signals) => Limited::Signals(signals.limit(limit)),
            Self::None => Limited::None,
        }
    }
}

impl Limited<'_> {
    /// Whether the limit was reached, in a way that the trap itself does not tell.
    pub fn reached(&self) -> bool {
        match self {
            Self::Signals(limited) => limited.reached(),
            Self::Epochs(_) | Self::None => false,
        }
    }
}
