//! Runs modules that are no sites, with wasmtime-wasi: [`command`]s, which run once, and
//! [`handler`]s, components that answer HTTP requests. [`Grants`] says what they may use.

pub mod command;
mod component;
mod fiber;
mod grants;
pub mod handler;
mod mounts;
mod network;

pub use grants::{Directory, DirectoryError, Grants};
pub use mounts::container_directories;
pub use network::{ACCEPTED as ACCEPTED_NETWORK, Network};
