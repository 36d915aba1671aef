//! Private engines: containerd, containerd with Docker, containerd as a kubelet sees it,
//! a node of Kubernetes, and a board of another processor; and a registry that they pull from.

pub mod board;
pub mod cri;

mod config;
mod containerd;
mod docker;
mod kubernetes;
mod registry;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use board::Board;
pub use containerd::Containerd;
pub use docker::{Docker, Named};
pub use kubernetes::{Kubernetes, Lost, Traffic};
pub use registry::Registry;

/// An engine that all tests running at the same time share. It starts with the first of
/// them and ends with the last.
struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock();
        shared.upgrade().unwrap_or_else(|| {
            let engine = Arc::new(start());
            *shared = Arc::downgrade(&engine);
            engine
        })
    }
}
