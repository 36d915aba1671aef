//! Stands in for signals where modules are not compiled to machine code, so that no
//! signal can end them.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

use wasmtime::Module;
use wasmtime::component::Component;

/// Whether this works on this machine.
pub const SUPPORTED: bool = false;

/// Never exists.
pub struct Signals(Infallible);

/// Never exists.
pub struct Limited<'a>(Infallible, PhantomData<&'a ()>);

impl Signals {
    /// Always `Ok(None)`.
    pub fn start(_modules: &[&Module]) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Always `Ok(None)`.
    pub fn start_for_component(_component: &Component) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Always an error.
    pub fn start_for_linked(_text: Range<usize>, _leave: usize) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Never.
    pub fn suits_module(_module: &Module) -> bool {
        false
    }

    /// Never.
    pub fn suits_component(_component: &Component) -> bool {
        false
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
