//! Engines that this program carries: machine code of the engine that `ssr build` makes sites of,
//! compiled when the program was built.
//!
//! All sites of one release have the engine's code, byte for byte, and differ in what their memory
//! holds. [`parts`] takes a site apart and tells which engine it is; [`artifact`] makes what
//! wasmtime loads of the engine's machine code and the site's memory, without a compiler;
//! [`text`] maps the machine code from this program's file, so that all sites share it, and nothing
//! that came with a site is ever executed; [`attach`] puts engines behind a program's own code, and
//! finds them there; [`sparse`] has artifacts without the zeros in place of machine code.

pub mod artifact;
pub mod attach;
pub mod parts;
pub mod sparse;
pub mod text;

#[cfg(test)]
mod tests;
