//! Engines that are linked into this program: translated to C when the program is built, and
//! compiled by a C compiler. 32-bit machines run sites so, for which wasmtime has no machine code.
//!
//! [`image`] is what a site adds to its engine, [`space`] the memory of one render, [`call`] a call
//! into the C code with what [`interface`] says that both sides know, and [`site`] the guest. wasm/linked/ is the C code's side.

mod call;
pub mod image;
mod interface;
pub mod site;
mod space;

#[cfg(test)]
mod tests;

pub use interface::LinkedEngine;

/// All engines that are linked into this program.
pub fn all() -> &'static [LinkedEngine] {
    interface::ENGINES
}
