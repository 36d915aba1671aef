//! Time limits by epochs: compiled code compares a counter with its deadline at
//! every loop and function. Works for any module on any machine; costs a sixth
//! of an interpreter's speed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, Store};

/// The precision of time limits.
const TICK: Duration = Duration::from_millis(10);

/// Advances the engine's epoch every [`TICK`] while renders run, and sleeps
/// while none does, so that an idle site never wakes its board.
pub struct Epochs(Arc<Running>);

#[derive(Default)]
struct Running {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    renders: usize,
    /// Whether the clock is to end.
    over: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A render under a time limit; ends with the value.
pub struct Limited<'a>(&'a Running);

impl Epochs {
    /// Starts the clock's thread, which lives as long as the value.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let running = Arc::new(Running::default());
        let (engine, clock) = (engine.clone(), Arc::clone(&running));
        std::thread::Builder::new().name("ssr-clock".to_owned()).stack_size(64 << 10).spawn(move || {
            loop {
                let idle = |state: &mut State| state.renders == 0 && !state.over;
                let waited = clock.changed.wait_while(clock.lock(), idle);
                if waited.unwrap_or_else(PoisonError::into_inner).over {
                    return;
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
        // One more, because the present tick has begun already.
        let ticks = limit.as_millis().div_ceil(TICK.as_millis()) + 1;
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2));
        let mut state = self.0.lock();
        state.renders += 1;
        if state.renders == 1 {
            self.0.changed.notify_one();
        }
        Limited(&self.0)
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.lock().renders -= 1;
    }
}
