//! Time limits by epochs: compiled code compares a counter with its deadline at every
//! loop and function. Works for any module on any machine, and costs an interpreter a
//! sixth of its speed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wasmtime::{Engine, Store};

/// The precision of time limits.
const TICK: Duration = Duration::from_millis(10);

/// Advances the engine's epoch every [`TICK`] while renders run. Sleeps while none
/// does, so that an idle site never wakes the processor.
pub struct Epochs(Arc<Running>);

#[derive(Default)]
struct Running {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    renders: usize,
    /// Tells the clock's thread to end.
    stopped: bool,
}

/// A render under a time limit, until the value is dropped.
pub struct Limited<'a>(&'a Running);

impl Epochs {
    /// Starts the clock's thread, which ends with the value.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let running = Arc::new(Running::default());
        let (engine, clock) = (engine.clone(), Arc::clone(&running));
        std::thread::Builder::new().name("ssr-clock".to_owned()).stack_size(64 << 10).spawn(move || {
            loop {
                {
                    let mut state = clock.state.lock();
                    clock.changed.wait_while(&mut state, |state| state.renders == 0 && !state.stopped);
                    if state.stopped {
                        return;
                    }
                }
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self(running))
    }

    /// Ends the calls into `store` that take longer than `limit`, until the
    /// returned value is dropped.
    pub fn limit<T>(&self, store: &mut Store<T>, limit: Duration) -> Limited<'_> {
        // One more, because the current tick has already begun.
        let ticks = limit.as_millis().div_ceil(TICK.as_millis()) + 1;
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2));
        let mut state = self.0.state.lock();
        state.renders += 1;
        if state.renders == 1 {
            self.0.changed.notify_one();
        }
        Limited(&self.0)
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.state.lock().renders -= 1;
    }
}
