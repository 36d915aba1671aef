//! A call into a guest, as the functions that the guest imports see it: the same for every back end.

use wasmtime::{Caller, Result};

use super::error::Stop;
use super::state::GuestState;

/// A call into a guest, within a function that the guest has called.
pub trait GuestCall {
    /// The call's state.
    fn state(&mut self) -> &mut GuestState;

    /// The guest's memory, and the state beside it.
    fn memory(&mut self) -> Result<(&mut [u8], &mut GuestState)>;

    /// The guest's memory from `at`, `len` bytes of it, and the state beside it. Fails when the
    /// time is up.
    fn slice(&mut self, at: u32, len: u32) -> Result<(&mut [u8], &mut GuestState)> {
        self.state().check_time()?;
        let (memory, state) = self.memory()?;
        let end = (at as usize).checked_add(len as usize);
        match end.and_then(|end| memory.get_mut(at as usize..end)) {
            Some(bytes) => Ok((bytes, state)),
            None => Err(Stop::trap("it passed a pointer outside its memory")),
        }
    }
}

impl GuestCall for Caller<'_, GuestState> {
    fn state(&mut self) -> &mut GuestState {
        self.data_mut()
    }

    fn memory(&mut self) -> Result<(&mut [u8], &mut GuestState)> {
        let memory = self.data().memory.ok_or_else(|| Stop::trap("it has no memory"))?;
        Ok(memory.data_and_store_mut(self))
    }
}
