//! The functions that a guest may import, for every back end.

use wasmtime::{Caller, Engine, Linker, Result};

use super::state::GuestState;
use super::{host_functions, wasi_stub};

/// Passes every function to a macro: where it is defined, and by what module, name, parameters and
/// result it is imported. A module that imports more is refused when it is linked.
macro_rules! each_import {
    ($macro:ident) => {
        $macro! {
            host_functions "ssr_v1" {
                respond(status: u32, at: u32, len: u32, streaming: u32) -> ();
                write(at: u32, len: u32) -> ();
                end() -> ();
                fail(kind: u32, message: u32, message_len: u32, stack: u32, stack_len: u32) -> ();
                log(level: u32, at: u32, len: u32) -> ();
                sleep(milliseconds: f64) -> ();
            }
            wasi_stub "wasi_snapshot_preview1" {
                clock_time_get(clock: u32, precision: u64, at: u32) -> u32;
                random_get(at: u32, len: u32) -> u32;
                fd_write(fd: u32, vectors: u32, count: u32, written: u32) -> u32;
                environ_sizes_get(count: u32, size: u32) -> u32;
                args_sizes_get(count: u32, size: u32) -> u32;
                environ_get(pointers: u32, values: u32) -> u32;
                args_get(pointers: u32, values: u32) -> u32;
                fd_close(fd: u32) -> u32;
                fd_fdstat_get(fd: u32, at: u32) -> u32;
                fd_prestat_get(fd: u32, at: u32) -> u32;
                fd_prestat_dir_name(fd: u32, at: u32, len: u32) -> u32;
                fd_seek(fd: u32, offset: u64, whence: u32, at: u32) -> u32;
                proc_exit(code: u32) -> ();
            }
        }
    };
}
pub(crate) use each_import;

/// All of them, for wasmtime.
pub fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    macro_rules! link {
        ($($place:ident $module:literal {
            $($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*
        })*) => {
            $($(
                linker.func_wrap(
                    $module,
                    stringify!($name),
                    |mut caller: Caller<'_, GuestState>, $($parameter: $type),*| -> Result<$result> {
                        $place::$name(&mut caller, $($parameter),*)
                    },
                )?;
            )*)*
        };
    }
    each_import!(link);
    Ok(linker)
}
