//! The site in an image archive, as its container would see it: its files in a directory, its
//! module, its assets and its environment.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ssr_code_cache::module::MAX_MODULE_SIZE;
use ssr_wasi::served::wagi::is_route_table;
use ssr_wasm::text;

use super::archive::{Archive, inside};
use super::layers::{Node, Place, Tree};
use super::manifest::{self, Container};
use super::{entrypoint, layers, of};
use crate::cache::list::plain;

/// The platforms of images that are made for this program.
const WASM: [&str; 4] = ["wasi/wasm", "wasi/wasm32", "wasip1/wasm", "wasip2/wasm"];

/// A site in an archive.
pub struct Image {
    archive: Archive,
    container: Container,
    tree: Tree,
    /// The module's file.
    module: Source,
    /// What is named behind the module's file.
    function: Option<String>,
    /// The directory of assets, below the image's root.
    assets: Option<PathBuf>,
}

/// Where the module is.
enum Source {
    /// At a path below the image's root.
    File(PathBuf),
    /// It is a layer, which appears at the entrypoint's path, whose last name this is.
    Layer { file: String, name: PathBuf },
}

/// An unpacked site.
pub struct Unpacked {
    /// The module's path, and the function that may be named behind it.
    pub module: String,
    /// The directory of assets.
    pub assets: Option<PathBuf>,
    /// The directory that is the container's `/`.
    pub root: PathBuf,
}

/// The context of errors that are the destination's fault, not the image's.
#[derive(Debug)]
pub struct CannotWrite(PathBuf);

impl fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot unpack to '{}'", self.0.display())
    }
}

impl Image {
    /// Reads the archive's only image, and checks all of it.
    pub fn read(file: File) -> Result<Self> {
        let mut archive = Archive::open(file)?;
        let container = manifest::only(manifest::containers(&mut archive)?)?;
        let platform = &container.platform;
        let Some((command, arguments)) = container.args.split_first() else {
            bail!("the image has no entrypoint and no command");
        };
        let tree = Tree::of(&mut archive, &container.layers)?;
        let (module, function) = match &container.module_layer {
            Some(file) => {
                let name =
                    Path::new(super::file_of(command)).file_name().unwrap_or(OsStr::new("module.wasm"));
                (Source::Layer { file: file.clone(), name: name.into() }, None)
            }
            None => {
                let (found, function) = entrypoint(&tree, &container, command)
                    .with_context(|| of(command, "there is no such file in the image"))?;
                // Before all of an operating system is unpacked.
                if !WASM.contains(&platform.as_str()) {
                    let head = layers::head(&mut archive, &found.place)?;
                    check(&head, platform).map_err(|reason| anyhow!(of(command, &reason)))?;
                }
                (Source::File(found.path), function.map(str::to_owned))
            }
        };
        let assets = match arguments {
            [] => None,
            [assets] => Some(tree.directory(&container.path(assets)).with_context(|| {
                of(
                    assets,
                    "there is no such directory in the image, whose command says that its assets are there",
                )
            })?),
            [_, extra @ ..] => bail!(
                "the image's command has too many arguments ({}): it may only name the directory of assets",
                plain(&extra.join(" "))
            ),
        };
        Ok(Self { archive, container, tree, module, function, assets })
    }

    /// The image's environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let variables = self.container.env.iter().filter_map(|variable| variable.split_once('='));
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Writes the files into `directory`, which is empty. `None` once `stopped` says so.
    pub fn unpack(mut self, directory: &Path, stopped: &dyn Fn() -> bool) -> Result<Option<Unpacked>> {
        let root = directory.join("files");
        if !write(&self.tree, &mut self.archive, &root, stopped)? {
            return Ok(None);
        }
        let module = match self.module {
            Source::File(path) => root.join(path),
            Source::Layer { file, name } => {
                let path = directory.join(name);
                let bytes = self.archive.blob(&file, MAX_MODULE_SIZE)?;
                fs::write(&path, bytes).with_context(|| CannotWrite(path.clone()))?;
                path
            }
        };
        let head = File::open(&module).and_then(|file| text::head(&file));
        let command = &self.container.args[0];
        check(&head?, &self.container.platform).map_err(|reason| anyhow!(of(command, &reason)))?;
        let module = module.into_os_string().into_string();
        let mut module = module.map_err(|path| anyhow!("the path '{}' is not UTF-8", path.display()))?;
        if let Some(function) = self.function {
            module = format!("{module}#{function}");
        }
        Ok(Some(Unpacked { module, assets: self.assets.map(|assets| root.join(assets)), root }))
    }
}

/// Says what is wrong with an entrypoint that begins so, if it cannot be served.
fn check(head: &[u8], platform: &str) -> Result<(), String> {
    if head.starts_with(b"\0asm") || text::is_text(head) {
        return Ok(());
    }
    if is_route_table(head) {
        return Err("it is a table of WAGI's routes, whose paths are those in a container: run this image in one, or \
                    unpack it and serve the table"
            .to_owned());
    }
    Err(format!(
        "it is not a WebAssembly module; the image is for {}, and only sites and programs of the platform wasi/wasm \
         can be served",
        plain(platform)
    ))
}

/// Writes the files of an image. `false` if it was stopped.
fn write(tree: &Tree, archive: &mut Archive, root: &Path, stopped: &dyn Fn() -> bool) -> Result<bool> {
    let cannot = |path: &Path| CannotWrite(root.join(path));
    fs::create_dir(root).with_context(|| cannot(Path::new("")))?;
    let mut files: HashMap<&str, HashMap<usize, Vec<&Path>>> = HashMap::new();
    let mut links = Vec::new();
    for (path, node) in tree.nodes() {
        let directory = match node {
            Node::Directory => path,
            _ => path.parent().unwrap_or(Path::new("")),
        };
        fs::create_dir_all(root.join(directory)).with_context(|| cannot(directory))?;
        match node {
            Node::File(Place { layer, entry, .. }) => {
                files.entry(layer).or_default().entry(*entry).or_default().push(path);
            }
            Node::Link(target) => links.extend(link(tree, path, target)?.map(|target| (path, target))),
            // The server would not read devices either.
            Node::Directory | Node::Other => {}
        }
    }
    for (layer, wanted) in files {
        let mut tar = tar::Archive::new(layers::open(archive, layer)?);
        for (number, entry) in tar.entries()?.enumerate() {
            let mut entry = entry.with_context(|| format!("its layer '{layer}'"))?;
            let Some((first, others)) = wanted.get(&number).and_then(|paths| paths.split_first()) else {
                continue;
            };
            if stopped() {
                return Ok(false);
            }
            file(&mut entry, &root.join(first)).with_context(|| cannot(first))?;
            for other in others {
                fs::hard_link(root.join(first), root.join(other)).with_context(|| cannot(other))?;
            }
        }
    }
    // Last, so that nothing is written through one.
    for (path, target) in links {
        symlink(&target, root.join(path)).with_context(|| cannot(path))?;
    }
    Ok(true)
}

fn file(entry: &mut tar::Entry<'_, impl io::Read>, path: &Path) -> Result<()> {
    let (size, modified) = (entry.size(), entry.header().mtime().unwrap_or_default());
    let mut file = File::create_new(path)?;
    let copied = io::copy(entry, &mut file)?;
    ensure!(copied == size, "the layer ends within a file");
    // A compressed sibling counts unless it is older than its file.
    let modified = UNIX_EPOCH.checked_add(Duration::from_secs(modified)).unwrap_or(UNIX_EPOCH);
    Ok(file.set_modified(modified)?)
}

/// What a link is written as: the way from its directory to what it leads to in the container.
/// `None` if that does not exist.
fn link(tree: &Tree, path: &Path, target: &Path) -> Result<Option<PathBuf>> {
    let parent = path.parent().unwrap_or(Path::new(""));
    if target.is_relative() {
        let depth = parent.components().chain(target.components()).try_fold(0_usize, |depth, component| {
            match component {
                Component::Normal(_) => Some(depth + 1),
                Component::ParentDir => depth.checked_sub(1),
                _ => Some(depth),
            }
        });
        ensure!(
            depth.is_some(),
            "its link '{}' to '{}' leads out of the image: do not use this image",
            path.display(),
            target.display()
        );
    }
    let seen = if target.is_absolute() { inside(target) } else { parent.join(target) };
    let Some(real) = tree.resolve(&seen, false) else { return Ok(None) };
    let common = parent.components().zip(real.components()).take_while(|(one, other)| one == other).count();
    let up = parent.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(real.components().skip(common)).collect();
    Ok(Some(if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }))
}
