//! Runs sites' WebAssembly modules with wasmtime. Knows neither HTTP nor containerd.
//!
//! [`detect`] tells what a module is, [`compile`] makes machine code of it for a
//! [`target`], [`guests`] load and call it under [`limits`] and a time limit
//! ([`interrupt`]), and [`pool`] runs the renders on a bounded set of threads.
//! [`abi`] is the contract between guest and host.

pub mod abi;
pub mod compile;
pub mod detect;
pub mod engine;
pub mod guests;
pub mod interrupt;
pub mod limits;
pub mod memory_trim;
pub mod pool;
pub mod target;
