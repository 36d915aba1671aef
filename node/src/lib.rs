//! Makes a node able to run sites, and undoes it: adds the runtime to the configuration of
//! the node's container engines, and tells what is right with the node and what is not.

pub mod alias;
pub mod check;
pub mod engine;
pub mod error;
pub mod install;
pub mod restart;
pub mod root;

mod block;
mod daemon_json;
mod dump;
mod entry;
mod facts;
mod plan;
mod processes;
mod record;
mod shim;
mod write;
