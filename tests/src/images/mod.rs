//! Images of small sites, built by the CLI under test, and an ordinary Linux image.

mod image;
mod linux;
mod oci_archive;

pub use image::{Image, USER};
