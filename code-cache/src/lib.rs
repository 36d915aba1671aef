//! Compiled code kept on a node, and carried between nodes.
//!
//! [`cache`] is the directory, [`entry`] a file in it and [`metadata`] what that file
//! says about itself, [`module`] what it is made from. [`provide`] finds a module's code or compiles it. [`ipc`] is how a
//! container's process gets code from outside, [`read_only`] why it cannot change it, [`bundle`] how code travels from one
//! machine to another, [`node_config`] what a node's administrator sets, and [`machine_memory`] what limits depend on.

pub mod bundle;
pub mod cache;
pub mod entry;
pub mod ipc;
pub mod machine_memory;
pub mod metadata;
pub mod module;
pub mod node_config;
pub mod provide;
pub mod read_only;
