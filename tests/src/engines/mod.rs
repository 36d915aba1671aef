//! Private engines: containerd, containerd with Docker, and containerd as a kubelet
//! sees it.

pub mod cri;

mod config;
mod containerd;
mod docker;

pub use containerd::Containerd;
pub use docker::{Docker, Named};
