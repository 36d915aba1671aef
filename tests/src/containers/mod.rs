//! Containers that `ctr` runs under a private containerd.

mod container;
mod run;
mod task_api;
mod tasks;

pub use container::{Container, Exited};
pub use run::Run;
pub use tasks::{CallError, Status, Task, Tasks};
