//! Finds the module that a container of an image would run, in an archive of any tool: an OCI
//! layout, or what `docker save` writes. Layers are applied as an engine applies them, so that
//! a file that a later layer removes or replaces is not found.

mod archive;
mod layers;
mod manifest;
mod unpack;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use ssr_code_cache::module::{MAX_MODULE_SIZE, digest};
use ssr_wasm::{detect, text};

use self::archive::Archive;
use self::layers::Tree;
use self::manifest::Container;
use self::unpack::Format;
use super::list::plain;
use super::place::file_name;

/// The setting on which compiled code may depend.
const RENDER_MEMORY_LIMIT: &str = "SSR_RENDER_MEMORY_LIMIT=";

/// PATH if the image sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A module.
#[derive(Debug)]
pub struct Module {
    /// The file's name, without directories.
    pub name: String,
    /// The module's bytes, in the binary format.
    pub bytes: Vec<u8>,
}

/// What was found in an archive.
#[derive(Debug, Default)]
pub struct Image {
    /// The modules, each once; at least one once `read` has returned.
    pub modules: Vec<Module>,
    /// The values that the images give SSR_RENDER_MEMORY_LIMIT.
    pub render_memory_limits: BTreeSet<String>,
}

/// Reads an archive, or a single module.
pub fn read(path: &Path) -> Result<Image> {
    let shown = path.display();
    let cannot = || format!("cannot read '{shown}'");
    let mut file = File::open(path).with_context(cannot)?;
    ensure!(
        !file.metadata().with_context(cannot)?.is_dir(),
        "'{shown}' is a directory, not an image archive"
    );
    let head = unpack::head(&mut file).with_context(cannot)?;
    if head.starts_with(b"\0asm") || text::is_text(&head) {
        let module = module(&file_name(path), unpack::whole(file, MAX_MODULE_SIZE).with_context(cannot)?);
        let modules = vec![module.map_err(|reason| anyhow::anyhow!("'{shown}': {reason}"))?];
        return Ok(Image { modules, ..Image::default() });
    }
    if head.is_empty() || Format::of(&head) == Format::Other {
        bail!(
            "'{shown}' is neither an image archive nor a module: name an archive written by `ssr image` or `docker \
             save`, or a module"
        );
    }
    let mut archive = Archive::open(file).with_context(cannot)?;
    let containers = manifest::containers(&mut archive).with_context(cannot)?;
    let mut image = Image::default();
    let mut without = None;
    for container in &containers {
        match module_of(&mut archive, container).with_context(cannot)? {
            Ok(module) => {
                let known = |other: &Module| digest(&other.bytes) == digest(&module.bytes);
                if !image.modules.iter().any(known) {
                    image.modules.push(module);
                }
                // As in a container, the last value counts and an empty one is ignored.
                let memory = container.env.iter().rev();
                let memory = memory.filter_map(|variable| variable.strip_prefix(RENDER_MEMORY_LIMIT)).next();
                image
                    .render_memory_limits
                    .extend(memory.filter(|value| !value.is_empty()).map(str::to_owned));
            }
            Err(reason) => without = Some(reason),
        }
    }
    match without {
        Some(reason) if image.modules.is_empty() => bail!("'{shown}' has no module to compile: {reason}"),
        _ => Ok(image),
    }
}

/// The module in these bytes, in the binary format.
fn module(name: &str, bytes: Vec<u8>) -> Result<Module, String> {
    let bytes = if text::is_text(&bytes) { text::assemble(&bytes)? } else { bytes };
    detect::check(&bytes)?;
    Ok(Module { name: name.to_owned(), bytes })
}

/// The module that a container runs. The inner error says why there is none.
fn module_of(archive: &mut Archive, container: &Container) -> Result<Result<Module, String>> {
    let Some(entrypoint) = container.args.first() else {
        return Ok(Err("the image has no entrypoint and no command".to_owned()));
    };
    // A layer that is a module appears at the entrypoint's path.
    if let Some(layer) = &container.module_layer {
        let bytes = archive.blob(layer, MAX_MODULE_SIZE)?;
        return Ok(module(&file_name(Path::new(entrypoint)), bytes).map_err(|reason| of(entrypoint, &reason)));
    }
    let tree = Tree::of(archive, &container.layers)?;
    let directory = container.working_directory.as_str();
    let found = look_up(&tree, entrypoint, directory, &container.env).or_else(|| {
        // A function may be named behind the file.
        let (file, _) = entrypoint.rsplit_once('#')?;
        look_up(&tree, file, directory, &container.env)
    });
    let Some(place) = found else {
        return Ok(Err(format!("'{}': there is no such file in the image", plain(entrypoint))));
    };
    let bytes = layers::content(archive, &place, MAX_MODULE_SIZE)?;
    let name = entrypoint.rsplit_once('#').map_or(entrypoint.as_str(), |(file, _)| file);
    Ok(module(&file_name(Path::new(name)), bytes).map_err(|reason| of(entrypoint, &reason)))
}

fn of(entrypoint: &str, reason: &str) -> String {
    format!("'{}': {reason}", plain(entrypoint))
}

/// The file that a command names, as in a container.
fn look_up(tree: &Tree, command: &str, directory: &str, env: &[String]) -> Option<layers::Place> {
    if command.contains('/') {
        return tree.file(&Path::new(directory).join(command));
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut in_path = path.split(':').filter(|part| !part.is_empty());
    let executable = |part: &str| {
        tree.file(&Path::new(directory).join(part).join(command)).filter(|place| place.executable)
    };
    in_path.find_map(executable).or_else(|| tree.file(&Path::new(directory).join(command)))
}

#[cfg(test)]
mod tests;
