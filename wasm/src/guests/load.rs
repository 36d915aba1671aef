//! Loads a site into the back end that its code is for.

use super::Guest;
use super::snapshot::{LoadError, Site};
use crate::compile::{CompiledCode, MachineCode};
use crate::limits::Limits;
use crate::linked::image::SiteImage;
use crate::linked::site::LinkedSite;

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
