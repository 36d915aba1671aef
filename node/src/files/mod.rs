//! The node's files: where they are, how they are replaced, and what they were before.

pub mod record;
pub mod root;
pub mod write;
