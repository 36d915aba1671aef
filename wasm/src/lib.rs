//! Runs WebAssembly modules with wasmtime. Knows neither HTTP nor containerd.
//!
//! [`detect`] tells what a module is, [`code_source`] where its machine code comes from and
//! [`compile`] makes it for a [`target`]. [`guests`] load and call it under [`limits`] and a
//! time limit ([`interrupt`]), and [`pool`] runs the renders on a bounded set of threads.
//! [`abi`] is the contract between a site and the host.

pub mod abi;
pub mod carried;
pub mod code_source;
pub mod compile;
pub mod detect;
pub mod engine;
pub mod guests;
pub mod interrupt;
pub mod limits;
pub mod linked;
pub mod memory_trim;
mod needs;
pub mod own_engines;
pub mod pool;
pub mod target;
pub mod text;
mod thread_stack;
