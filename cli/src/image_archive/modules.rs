//! Finds the modules that containers of the images in an archive would run.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use ssr_code_cache::module::{MAX_MODULE_SIZE, digest};
use ssr_wasm::{detect, text};

use super::archive::Archive;
use super::layers::{self, Tree};
use super::manifest::{self, Container};
use super::{FileKind, compression, entrypoint, file_of, of};
use crate::cache::place::file_name;

/// The setting on which compiled code may depend.
const RENDER_MEMORY_LIMIT: &str = "SSR_RENDER_MEMORY_LIMIT=";

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
    match FileKind::of(&mut file).with_context(cannot)? {
        FileKind::Archive => {}
        FileKind::Module => {
            let bytes = compression::whole(file, MAX_MODULE_SIZE).with_context(cannot)?;
            let module = module(&file_name(path), bytes);
            let modules = vec![module.map_err(|reason| anyhow::anyhow!("'{shown}': {reason}"))?];
            return Ok(Image { modules, ..Image::default() });
        }
        FileKind::Other => bail!(
            "'{shown}' is neither an image archive nor a module: name an archive written by `ssr image` or `docker \
             save`, or a module"
        ),
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
    let Some(command) = container.args.first() else {
        return Ok(Err("the image has no entrypoint and no command".to_owned()));
    };
    let name = file_name(Path::new(file_of(command)));
    // A layer that is a module appears at the entrypoint's path.
    if let Some(layer) = &container.module_layer {
        let bytes = archive.blob(layer, MAX_MODULE_SIZE)?;
        return Ok(module(&name, bytes).map_err(|reason| of(command, &reason)));
    }
    let tree = Tree::of(archive, &container.layers)?;
    let Some((found, _)) = entrypoint(&tree, container, command) else {
        return Ok(Err(of(command, "there is no such file in the image")));
    };
    let bytes = layers::content(archive, &found.place, MAX_MODULE_SIZE)?;
    Ok(module(&name, bytes).map_err(|reason| of(command, &reason)))
}
