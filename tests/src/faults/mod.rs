//! Random faults under load, one a round; see [`Soak`]. What happens in a round follows
//! from its seed; when, also from the machine.

mod fault;
mod load;
mod random;
mod report;
mod round;
mod victims;

pub use fault::Fault;
pub use report::Report;
pub use round::Soak;
