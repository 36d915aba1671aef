//! The part of WASI preview 1 that the engine guest needs: clocks, randomness, and
//! standard output and error, which are the log. There are no files, arguments or
//! environment variables: every other descriptor is bad.

use wasmtime::{Caller, Linker, Result};

use super::error::Stop;
use super::state::{GuestState, MAX_TEXT};

const MODULE: &str = "wasi_snapshot_preview1";
const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
/// The clock id of wall-clock time; all others are monotonic here.
const REALTIME: u32 = 0;

/// Most vectors that one `fd_write` looks at, as many as Linux' `writev` takes.
const MAX_VECTORS: u32 = 1024;

type C<'a> = Caller<'a, GuestState>;

fn u32_at(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Defines these functions.
pub fn add_to_linker(linker: &mut Linker<GuestState>) -> Result<()> {
    linker.func_wrap(MODULE, "clock_time_get", |mut c: C<'_>, clock: u32, _precision: u64, at: u32| {
        let (bytes, state) = GuestState::slice(&mut c, at, 8)?;
        bytes.copy_from_slice(&state.now(clock == REALTIME).to_le_bytes());
        Ok(SUCCESS)
    })?;
    linker.func_wrap(MODULE, "random_get", |mut c: C<'_>, at: u32, len: u32| {
        let (bytes, state) = GuestState::slice(&mut c, at, len)?;
        state.fill_random(bytes)?;
        Ok(SUCCESS)
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut c: C<'_>, fd: u32, vectors: u32, count: u32, written: u32| {
            if fd != 1 && fd != 2 {
                return Ok(BAD_DESCRIPTOR);
            }
            // Like `writev`, it may write less than it is given, and says how much.
            let count = count.min(MAX_VECTORS);
            let vectors = GuestState::slice(&mut c, vectors, count * 8)?.0.to_vec();
            let mut text = Vec::new();
            for vector in vectors.chunks_exact(8) {
                let bytes = &*GuestState::slice(&mut c, u32_at(vector), u32_at(&vector[4..]))?.0;
                let room = MAX_TEXT - text.len();
                text.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() >= room {
                    break;
                }
            }
            c.data().log(0, &String::from_utf8_lossy(&text));
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            GuestState::slice(&mut c, written, 4)?.0.copy_from_slice(&length.to_le_bytes());
            Ok(SUCCESS)
        },
    )?;
    for sizes in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(MODULE, sizes, |mut c: C<'_>, count: u32, size: u32| {
            GuestState::slice(&mut c, count, 4)?.0.fill(0);
            GuestState::slice(&mut c, size, 4)?.0.fill(0);
            Ok(SUCCESS)
        })?;
    }
    for list in ["environ_get", "args_get"] {
        linker.func_wrap(MODULE, list, |_: C<'_>, _: u32, _: u32| SUCCESS)?;
    }
    linker.func_wrap(MODULE, "fd_close", |_: C<'_>, _fd: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |_: C<'_>, _fd: u32, _at: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: C<'_>, _fd: u32, _at: u32| BAD_DESCRIPTOR)?;
    linker
        .func_wrap(MODULE, "fd_prestat_dir_name", |_: C<'_>, _fd: u32, _at: u32, _len: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_seek", |_: C<'_>, _fd: u32, _offset: u64, _whence: u32, _at: u32| {
        BAD_DESCRIPTOR
    })?;
    linker.func_wrap(MODULE, "proc_exit", |_: C<'_>, code: u32| -> Result<()> {
        Err(Stop::trap(format!("it exited with code {code}")))
    })?;
    Ok(())
}
