//! Containers that `ctr` runs under a private containerd.

mod container;
mod run;
mod task_api;

pub use container::{Container, Exited};
pub use run::Run;
