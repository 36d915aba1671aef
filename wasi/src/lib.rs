//! Runs modules that are no sites, with wasmtime-wasi: [`command`]s, which run once, and those
//! that are [`served`]: components that answer HTTP requests, and programs that run for each
//! request. [`Grants`] says what they may use.

pub mod command;
mod component;
mod core_module;
mod grants;
mod outgoing;
pub mod served;

/// Whether wasmtime's fibers can be used: on 32-bit ARM they do not save all registers, unless
/// patches/wasmtime-internal-fiber.patch is applied, as scripts/build-static.sh does.
const FIBERS_WORK: bool = cfg!(any(not(target_arch = "arm"), patched_fibers));

pub use grants::{
    ACCEPTED_NETWORK, Directory, DirectoryError, Grants, Network, Volume, VolumeError, container_directories,
    open_beneath,
};
