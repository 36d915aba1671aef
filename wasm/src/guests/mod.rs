//! The kinds of modules that are served.

pub mod snapshot;

use crate::abi::error::RenderError;
use crate::abi::response::ResponseSink;
use crate::compile::{CompiledCode, MachineCode};
use crate::limits::Limits;
use crate::linked::image::SiteImage;
use crate::linked::site::LinkedSite;
use snapshot::{LoadError, Site};

/// A loaded guest that renders pages, on any number of threads at the same time.
pub trait Guest: Send + Sync + 'static {
    /// Renders the request in `input`; docs/render-abi.md describes its fields. The
    /// response goes to `sink`. When a render fails after part of the response has been
    /// sent, that response stays incomplete.
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError>;

    /// Whether it takes requests' bodies as they arrive, from [`ResponseSink::body`], instead of
    /// among the fields.
    fn streams_bodies(&self) -> bool {
        false
    }

    /// Frees the memory that renders have used. The next render loads the guest again.
    fn unload(&self);
}

/// Loads a site's code; `name` is what log lines call it. Returns the back end's name, too.
///
/// # Errors
/// If the limits are too small for it, or the system refuses.
pub fn load_site(
    name: &str,
    code: CompiledCode,
    limits: &Limits,
) -> Result<(Box<dyn Guest>, &'static str), LoadError> {
    if let MachineCode::Linked(engine) = code.machine {
        let image = SiteImage::open(code.file).map_err(|error| LoadError::Internal(error.to_string()))?;
        return Ok((Box::new(LinkedSite::load(engine, image, limits)?), LinkedSite::BACKEND));
    }
    let site = Site::load(name, code, limits)?;
    let backend = site.backend();
    Ok((Box::new(site), backend))
}
