//! The site's static files.

mod directory;
mod index;
mod media_type;
mod negotiate;
mod respond;

pub use index::{Assets, Found};
pub use respond::respond;
