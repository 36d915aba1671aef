//! The render ABI, from the host's side; docs/render-abi.md describes it.

pub mod call;
pub mod error;
pub mod exports;
pub(crate) mod host_functions;
pub mod imports;
mod memory_budget;
pub mod request;
pub mod response;
pub mod state;
pub(crate) mod wasi_stub;

#[cfg(test)]
mod tests;
