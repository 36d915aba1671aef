//! The measurements, each of which prints its tables.

pub mod crowd;
pub mod memory;
pub mod requests;
pub mod sites;
pub mod starts;

mod at_once;
