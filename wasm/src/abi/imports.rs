//! The functions that a guest imports.

use wasmtime::{Caller, Engine, Linker, Result};

use super::error::{Failure, RenderError, Stop};
use super::state::{GuestState, MAX_TEXT};
use super::wasi_stub;

/// The import module of the render ABI.
const MODULE: &str = "ssr_v1";

/// [`Failure::stalled`], as the ABI numbers the kinds of failures.
const STALLED: u32 = 2;

/// Most headers of a response, in bytes: what the most patient browser takes.
const MAX_HEADERS: usize = 256 << 10;

/// Everything that a guest may import; a module that imports more is refused when it is
/// linked.
pub fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    type C<'a> = Caller<'a, GuestState>;
    let mut linker = Linker::new(engine);
    linker.func_wrap(MODULE, "respond", |mut c: C<'_>, status: u32, at: u32, len: u32, streaming: u32| {
        if len as usize > MAX_HEADERS {
            return Err(Stop::with(RenderError::HeadersTooLarge(MAX_HEADERS)));
        }
        let headers = String::from_utf8_lossy(GuestState::slice(&mut c, at, len)?.0).into_owned();
        c.data_mut().respond(status, headers, streaming != 0)
    })?;
    linker.func_wrap(MODULE, "write", |mut c: C<'_>, at: u32, len: u32| {
        let (bytes, state) = GuestState::slice(&mut c, at, len)?;
        state.write(bytes)
    })?;
    linker.func_wrap(MODULE, "end", |mut c: C<'_>| c.data_mut().end())?;
    linker.func_wrap(
        MODULE,
        "fail",
        |mut c: C<'_>, kind: u32, message: u32, message_len: u32, stack: u32, stack_len: u32| {
            let message = text(&mut c, message, message_len)?;
            let stack = text(&mut c, stack, stack_len)?;
            c.data_mut().fail(Failure { stalled: kind == STALLED, message, stack });
            Ok(())
        },
    )?;
    linker.func_wrap(MODULE, "log", |mut c: C<'_>, level: u32, at: u32, len: u32| {
        let text = text(&mut c, at, len)?;
        c.data().log(level, &text);
        Ok(())
    })?;
    linker.func_wrap(MODULE, "sleep", |mut c: C<'_>, milliseconds: f64| c.data_mut().sleep(milliseconds))?;
    wasi_stub::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// The text at an address; of one that is too long, the beginning.
fn text(caller: &mut Caller<'_, GuestState>, at: u32, len: u32) -> Result<String> {
    let bytes = &*GuestState::slice(caller, at, len)?.0;
    if bytes.len() <= MAX_TEXT {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    // Not within a character, of which all bytes but the first begin with these bits.
    let within = |&at: &usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    let end = (MAX_TEXT - 3..=MAX_TEXT).rev().find(|at| !within(at)).unwrap_or(MAX_TEXT);
    let text = String::from_utf8_lossy(&bytes[..end]);
    Ok(format!("{text}... ({} more bytes)", bytes.len() - end))
}
