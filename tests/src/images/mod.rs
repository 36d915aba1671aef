//! Images of small sites, built by the CLI under test, and an ordinary Linux image.

mod image;
mod linux;
mod oci_archive;
mod other_engine;
mod program;

pub use image::{Image, USER};
pub use program::{
    built as built_module, compiled as compiled_program, foreign as foreign_module, foreign_modules,
};
