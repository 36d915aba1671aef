//! The site's static files.

mod content_hash;
mod directory;
mod index;
mod manifest;
mod media_type;
mod negotiate;
mod ranges;
mod respond;
mod template;
mod variant;

pub use content_hash::{Evidence, has_hash};
pub use index::{Assets, Found, HASHED_FILES};
pub use respond::{Sent, respond};
pub use template::has_outlet;
