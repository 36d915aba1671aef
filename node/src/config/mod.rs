//! The engines' configuration files: what they say, and how they are edited.

pub mod block;
pub mod daemon_json;
pub mod dump;
pub mod entry;
pub mod facts;
