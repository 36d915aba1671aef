//! The part of WASI preview 1 that the engine guest needs: clocks, randomness, and
//! standard output and error, which are the log. There are no files, arguments or
//! environment variables: every other descriptor is bad.

use wasmtime::Result;

use super::call::GuestCall;
use super::error::Stop;
use super::state::MAX_TEXT;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
/// The clock id of wall-clock time; all others are monotonic here.
const REALTIME: u32 = 0;

/// Most vectors that one `fd_write` looks at, as many as Linux' `writev` takes.
const MAX_VECTORS: u32 = 1024;

fn u32_at(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The time in nanoseconds.
pub fn clock_time_get(call: &mut impl GuestCall, clock: u32, _precision: u64, at: u32) -> Result<u32> {
    let (bytes, state) = call.slice(at, 8)?;
    bytes.copy_from_slice(&state.now(clock == REALTIME).to_le_bytes());
    Ok(SUCCESS)
}

/// Randomness.
pub fn random_get(call: &mut impl GuestCall, at: u32, len: u32) -> Result<u32> {
    let (bytes, state) = call.slice(at, len)?;
    state.fill_random(bytes)?;
    Ok(SUCCESS)
}

/// Writes standard output and error to the log.
pub fn fd_write(call: &mut impl GuestCall, fd: u32, vectors: u32, count: u32, written: u32) -> Result<u32> {
    if fd != 1 && fd != 2 {
        return Ok(BAD_DESCRIPTOR);
    }
    // Like `writev`, it may write less than it is given, and says how much.
    let count = count.min(MAX_VECTORS);
    let vectors = call.slice(vectors, count * 8)?.0.to_vec();
    let mut text = Vec::new();
    for vector in vectors.chunks_exact(8) {
        let bytes = &*call.slice(u32_at(vector), u32_at(&vector[4..]))?.0;
        let room = MAX_TEXT - text.len();
        text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            break;
        }
    }
    call.state().log(0, &String::from_utf8_lossy(&text));
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    call.slice(written, 4)?.0.copy_from_slice(&length.to_le_bytes());
    Ok(SUCCESS)
}

/// No environment variables.
pub fn environ_sizes_get(call: &mut impl GuestCall, count: u32, size: u32) -> Result<u32> {
    nothing(call, count, size)
}

/// No arguments.
pub fn args_sizes_get(call: &mut impl GuestCall, count: u32, size: u32) -> Result<u32> {
    nothing(call, count, size)
}

fn nothing(call: &mut impl GuestCall, count: u32, size: u32) -> Result<u32> {
    call.slice(count, 4)?.0.fill(0);
    call.slice(size, 4)?.0.fill(0);
    Ok(SUCCESS)
}

/// No environment variables.
pub fn environ_get(_: &mut impl GuestCall, _pointers: u32, _values: u32) -> Result<u32> {
    Ok(SUCCESS)
}

/// No arguments.
pub fn args_get(_: &mut impl GuestCall, _pointers: u32, _values: u32) -> Result<u32> {
    Ok(SUCCESS)
}

/// No descriptors.
pub fn fd_close(_: &mut impl GuestCall, _fd: u32) -> Result<u32> {
    Ok(BAD_DESCRIPTOR)
}

/// No descriptors.
pub fn fd_fdstat_get(_: &mut impl GuestCall, _fd: u32, _at: u32) -> Result<u32> {
    Ok(BAD_DESCRIPTOR)
}

/// No directories.
pub fn fd_prestat_get(_: &mut impl GuestCall, _fd: u32, _at: u32) -> Result<u32> {
    Ok(BAD_DESCRIPTOR)
}

/// No directories.
pub fn fd_prestat_dir_name(_: &mut impl GuestCall, _fd: u32, _at: u32, _len: u32) -> Result<u32> {
    Ok(BAD_DESCRIPTOR)
}

/// No descriptors.
pub fn fd_seek(_: &mut impl GuestCall, _fd: u32, _offset: u64, _whence: u32, _at: u32) -> Result<u32> {
    Ok(BAD_DESCRIPTOR)
}

/// Ends the call.
pub fn proc_exit(_: &mut impl GuestCall, code: u32) -> Result<()> {
    Err(Stop::trap(format!("it exited with code {code}")))
}
