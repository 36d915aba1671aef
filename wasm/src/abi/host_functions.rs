//! The functions of the module `ssr_v1`.

use wasmtime::Result;

use super::call::GuestCall;
use super::error::{Failure, RenderError, Stop};
use super::state::MAX_TEXT;

/// [`Failure::stalled`], as the ABI numbers the kinds of failures.
const STALLED: u32 = 2;

/// Most headers of a response, in bytes: what the most patient browser takes.
const MAX_HEADERS: usize = 256 << 10;

/// Begins a response.
pub fn respond(call: &mut impl GuestCall, status: u32, at: u32, len: u32, streaming: u32) -> Result<()> {
    if len as usize > MAX_HEADERS {
        return Err(Stop::with(RenderError::HeadersTooLarge(MAX_HEADERS)));
    }
    let headers = String::from_utf8_lossy(call.slice(at, len)?.0).into_owned();
    call.state().respond(status, headers, streaming != 0)
}

/// Adds to the response's body.
pub fn write(call: &mut impl GuestCall, at: u32, len: u32) -> Result<()> {
    let (bytes, state) = call.slice(at, len)?;
    state.write(bytes)
}

/// Completes the response.
pub fn end(call: &mut impl GuestCall) -> Result<()> {
    call.state().end()
}

/// Reports a failure; the guest returns afterwards.
pub fn fail(
    call: &mut impl GuestCall,
    kind: u32,
    message: u32,
    message_len: u32,
    stack: u32,
    stack_len: u32,
) -> Result<()> {
    let message = text(call, message, message_len)?;
    let stack = text(call, stack, stack_len)?;
    call.state().fail(Failure { stalled: kind == STALLED, message, stack });
    Ok(())
}

/// Writes to the log.
pub fn log(call: &mut impl GuestCall, level: u32, at: u32, len: u32) -> Result<()> {
    let text = text(call, at, len)?;
    call.state().log(level, &text);
    Ok(())
}

/// Waits.
pub fn sleep(call: &mut impl GuestCall, milliseconds: f64) -> Result<()> {
    call.state().sleep(milliseconds)
}

/// The text at an address; of one that is too long, the beginning.
fn text(call: &mut impl GuestCall, at: u32, len: u32) -> Result<String> {
    let bytes = &*call.slice(at, len)?.0;
    if bytes.len() <= MAX_TEXT {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    // Not within a character, of which all bytes but the first begin with these bits.
    let within = |&at: &usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    let end = (MAX_TEXT - 3..=MAX_TEXT).rev().find(|at| !within(at)).unwrap_or(MAX_TEXT);
    let text = String::from_utf8_lossy(&bytes[..end]);
    Ok(format!("{text}... ({} more bytes)", bytes.len() - end))
}
