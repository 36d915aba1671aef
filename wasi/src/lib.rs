//! Runs modules that are no sites, with wasmtime-wasi: [`command`]s, which run once, and those
//! that are [`served`]: components that answer HTTP requests, and programs that run for each
//! request. [`Grants`] says what they may use.

pub mod command;
mod component;
mod core_module;
mod grants;
pub mod served;

pub use grants::{
    ACCEPTED_NETWORK, Directory, DirectoryError, Grants, Network, Volume, VolumeError, container_directories,
    open_beneath,
};
