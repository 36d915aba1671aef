//! A site on an engine that is linked into this program: a fresh memory for each request.

use parking_lot::Mutex;

use super::call::Instance;
use super::image::SiteImage;
use super::interface::LinkedEngine;
use crate::abi::error::RenderError;
use crate::abi::response::ResponseSink;
use crate::abi::state::GuestState;
use crate::guests::Guest;
use crate::guests::snapshot::{LoadError, explain, finish};
use crate::interrupt::Signals;
use crate::limits::Limits;
use crate::memory_trim;

/// A site.
pub struct LinkedSite {
    engine: &'static LinkedEngine,
    image: SiteImage,
    limits: Limits,
    signals: Signals,
    /// Instances that are ready: at most as many as renders ran at the same time.
    instances: Mutex<Vec<Instance>>,
}

impl LinkedSite {
    /// The back end's name.
    pub const BACKEND: &'static str = "wasm2c";

    /// Loads a site's memory.
    ///
    /// # Errors
    /// If the limits are too small for it, or the system refuses.
    pub fn load(engine: &'static LinkedEngine, image: SiteImage, limits: &Limits) -> Result<Self, LoadError> {
        limits.check_memory(image.initial as u64).map_err(LoadError::Limits)?;
        let internal = |error: std::io::Error| LoadError::Internal(error.to_string());
        let runtime = engine.functions.runtime;
        let text = runtime.text_start.0.addr()..runtime.text_end.0.addr();
        let signals = Signals::start_for_linked(text, runtime.time_is_up as usize).map_err(internal)?;
        // Now rather than during the first request.
        let instance = Instance::new(engine, &image, limits.render_memory_limit).map_err(internal)?;
        let instances = Mutex::new(vec![instance]);
        Ok(Self { engine, image, limits: limits.clone(), signals, instances })
    }

    fn instance(&self) -> Result<Instance, RenderError> {
        if let Some(instance) = self.instances.lock().pop() {
            return Ok(instance);
        }
        Instance::new(self.engine, &self.image, self.limits.render_memory_limit)
            .map_err(|error| RenderError::NotLoaded(error.to_string()))
    }
}

impl Guest for LinkedSite {
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        let (timeout, memory_limit) = (self.limits.render_timeout, self.limits.render_memory_limit);
        let mut state = GuestState::for_response(sink, timeout, memory_limit);
        state.keep(input.len()).map_err(|_| RenderError::OutOfMemory(memory_limit))?;
        let mut instance = self.instance()?;
        let limited = self.signals.limit(timeout);
        let result = instance.render(&mut state, input);
        let reached = limited.reached();
        drop(limited);
        // One that cannot be reset is dropped.
        match instance.reset() {
            Ok(()) => self.instances.lock().push(instance),
            Err(error) => log::warn!("cannot use a render's memory again: {error}"),
        }
        result.map_err(|error| explain(&error, reached, timeout))?;
        finish(&mut state)
    }

    fn unload(&self) {
        self.instances.lock().clear();
        memory_trim::trim_when_idle();
    }
}
