//! Standard input, output and error of containers' processes.

pub mod stdio;
pub mod terminal;
