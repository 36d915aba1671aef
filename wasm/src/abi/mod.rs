//! The render ABI, from the host's side; docs/render-abi.md describes it.

pub mod error;
pub mod exports;
pub mod imports;
mod memory_budget;
pub mod request;
pub mod response;
pub mod state;
mod wasi_stub;

#[cfg(test)]
mod tests;
