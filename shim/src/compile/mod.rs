//! Compiled code for containers' modules: from the node's cache, or made by a process of
//! its own outside the container's limits.

pub mod handover;
pub mod provider;
pub mod worker;
