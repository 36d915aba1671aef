//! Building blocks of the end-to-end tests: private engines, images of small sites, and
//! the containers that run them. The tests themselves are in `tests/`.
//!
//! They need root, containerd and the two release binaries; `make test` provides all
//! three. Without them the tests fail and say what is missing: a test that skips itself
//! protects nothing.

pub mod containers;
pub mod engines;
pub mod faults;
pub mod http;
pub mod images;
pub mod leaks;
pub mod manifests;
pub mod shell;
pub mod under_test;

pub use containers::{Container, Exited};
pub use engines::{Board, Containerd, Docker, Kubernetes, Registry, board, cri};
pub use images::{Image, built_module, compiled_program, foreign_module, foreign_modules};
