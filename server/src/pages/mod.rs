//! Pages: a request becomes a render, and what it gives a response.

mod error_page;
mod render;
mod request_body;
mod response;

pub use error_page::{bad_request, error_page};
pub use render::{Origin, Pages};
