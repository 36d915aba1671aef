//! What the helper mounts for a container before the container has a mount namespace.

pub mod image;
mod mapped_root;
mod owners;
pub mod root;
mod tree;
pub mod volumes;
