//! Reads image archives of any tool: an OCI layout, or what `docker save` writes. Layers are
//! applied as an engine applies them, so that what a later layer removes or replaces is not
//! found.

mod archive;
mod compression;
mod layers;
mod manifest;
pub mod modules;
pub mod registry_image;
pub mod site;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ssr_wasm::text;

use self::compression::Format;
use self::layers::{Found, Tree};
use self::manifest::Container;

/// PATH if the image sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A module, in either format.
    Module,
    /// An archive, or something compressed.
    Archive,
    /// Neither.
    Other,
}

impl FileKind {
    /// Looks at the file, which is read from its beginning afterwards.
    pub fn of(file: &mut File) -> io::Result<Self> {
        let head = compression::head(file)?;
        Ok(match Format::of(&head) {
            _ if head.starts_with(b"\0asm") || text::is_text(&head) => Self::Module,
            Format::Other => Self::Other,
            _ if head.is_empty() => Self::Other,
            Format::Gzip | Format::Zstd | Format::Tar => Self::Archive,
        })
    }
}

/// A container's entrypoint, without the function that may be named behind its file.
fn file_of(entrypoint: &str) -> &str {
    entrypoint.rsplit_once('#').map_or(entrypoint, |(file, _)| file)
}

/// The file that an entrypoint names, and the function behind it, as in a container.
fn entrypoint<'a>(
    tree: &Tree,
    container: &Container,
    entrypoint: &'a str,
) -> Option<(Found, Option<&'a str>)> {
    if let Some(found) = look_up(tree, container, entrypoint) {
        return Some((found, None));
    }
    let (file, function) = entrypoint.rsplit_once('#')?;
    Some((look_up(tree, container, file)?, Some(function)))
}

fn look_up(tree: &Tree, container: &Container, command: &str) -> Option<Found> {
    if command.contains('/') {
        return tree.file(&container.path(command));
    }
    let path = container.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let mut in_path = path.unwrap_or(DEFAULT_PATH).split(':').filter(|part| !part.is_empty());
    let executable =
        |part: &str| tree.file(&container.path(part).join(command)).filter(|found| found.place.executable);
    in_path.find_map(executable).or_else(|| tree.file(&container.path(command)))
}

/// What to say of a file of an image.
fn of(path: &str, reason: &str) -> String {
    format!("'{}': {reason}", crate::cache::list::plain(path))
}

impl Container {
    /// A path that is seen from the working directory.
    fn path(&self, path: &str) -> PathBuf {
        Path::new(&self.working_directory).join(path)
    }
}

#[cfg(test)]
mod tests;
