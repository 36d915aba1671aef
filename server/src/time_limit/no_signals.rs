//! Where code is not compiled to machine instructions, no signal can end it.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use wasmtime::Module;

/// Whether renders can be ended in this way on this machine.
pub const SUPPORTED: bool = false;

/// There is none.
pub struct Signals(Infallible);

/// There is none.
pub struct Limited<'a>(Infallible, PhantomData<&'a ()>);

impl Signals {
    /// `Ok(None)`: renders cannot be ended in this way here.
    pub fn start(_module: &Module) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Never called.
    pub fn limit(&self, _limit: Duration) -> Limited<'_> {
        match self.0 {}
    }
}

impl Limited<'_> {
    /// Never called.
    pub fn reached(&self) -> bool {
        match self.0 {}
    }
}
