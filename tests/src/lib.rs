//! What the end-to-end tests are made of: a private containerd, images of small
//! sites, and containers that run them. The tests themselves are in `tests/`.
//!
//! They need root, containerd and the two release binaries; `make test` sees to
//! all three. Without them they fail and say so: a test that skips itself
//! protects nothing.

pub mod container;
pub mod cri;
pub mod docker;
pub mod http;
pub mod image;
pub mod lab;
pub mod leaks;
pub mod shell;

mod config;
mod created;
mod linux;
mod oci_archive;

pub use container::{Container, Ended};
pub use docker::Docker;
pub use image::Image;
pub use lab::Lab;
