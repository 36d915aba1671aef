//! What the helper mounts for a container before the container has a mount namespace.

mod mapped_root;
mod owners;
pub mod root;
mod tree;
pub mod volumes;
