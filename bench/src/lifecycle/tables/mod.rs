//! The measurements, each of which prints its tables.

pub mod crowd;
pub mod memory;
pub mod requests;
pub mod starts;
