//! Makes a node able to run sites, and undoes it: adds the runtime to the configuration of
//! the node's container engines, and tells what is right with the node and what is not.

pub mod check;
pub mod engine;
pub mod error;
pub mod files;
pub mod install;
pub mod shim;

mod config;
mod plan;
