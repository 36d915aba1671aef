//! Which containers an archive has images for: what they run, and from which layers.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::archive::Archive;
use crate::cache::list::plain;

/// The most bytes read of a manifest or a configuration.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;
/// Indexes in indexes, at most.
const MAX_DEPTH: usize = 4;

/// Architectures of WebAssembly images.
const WASM: [&str; 2] = ["wasm", "wasm32"];

/// Annotations that name an image, the full name first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// What a container of an image is made from.
#[derive(Debug)]
pub(super) struct Container {
    /// What the archive calls the image.
    pub name: Option<String>,
    /// The file of its manifest; what Docker wrote in its older format has none.
    pub manifest: Option<File>,
    /// The file of its configuration: equal images have the same.
    pub config: String,
    /// Such as `wasi/wasm`.
    pub platform: String,
    /// Entrypoint and command.
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    /// The layers that are unpacked, lowest first.
    pub layers: Vec<Layer>,
    /// The file of the layer that is a module, if there is one.
    pub module_layer: Option<String>,
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub name: String,
    /// Its media type, or nothing.
    pub media_type: String,
}

/// A layer: its file in the archive, and the digest of its tar archive.
#[derive(Debug)]
pub(super) struct Layer {
    pub file: String,
    pub diff_id: Option<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

impl Descriptor {
    /// The name that an archive gives an image.
    fn name(&self) -> Option<String> {
        NAMES.iter().find_map(|name| self.annotations.get(*name)).cloned()
    }
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

/// An index, or a manifest.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// An entry of Docker's manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    layers: Vec<String>,
    repo_tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    os: String,
    architecture: String,
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Process {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// The images of an archive. Of an index, those for WebAssembly, or all if there are none.
pub(super) fn containers(archive: &mut Archive) -> Result<Vec<Container>> {
    let mut containers = Vec::new();
    if archive.has("index.json") {
        let index = archive.read("index.json", MAX_DOCUMENT)?;
        let file = File { name: "index.json".to_owned(), media_type: String::new() };
        add(archive, parsed("index.json", &index)?, (None, file), MAX_DEPTH, &mut containers)?;
    } else if archive.has("manifest.json") {
        let saved: Vec<Saved> = parsed("manifest.json", &archive.read("manifest.json", MAX_DOCUMENT)?)?;
        for Saved { config, layers, repo_tags } in saved {
            let layers = layers.into_iter().map(|file| (file, String::new())).collect();
            let name = repo_tags.and_then(|tags| tags.into_iter().next());
            containers.push(container(archive, (name, None), config, layers)?);
        }
    } else {
        bail!("it is no image archive: it has neither index.json nor manifest.json");
    }
    ensure!(!containers.is_empty(), "it has no image");
    Ok(containers)
}

/// The one image of an archive, which may have several names.
pub(super) fn only(mut containers: Vec<Container>) -> Result<Container> {
    let name = |container: &Container| {
        let name = container.name.as_deref().unwrap_or("one without a name");
        format!("{} ({})", plain(name), plain(&container.platform))
    };
    let mut different: Vec<&Container> = Vec::new();
    for container in &containers {
        if different.iter().all(|other| other.config != container.config) {
            different.push(container);
        }
    }
    if different.len() > 1 {
        let names = different.into_iter().map(name).collect::<Vec<_>>().join(", ");
        bail!(
            "it holds several images: {names}; write one of them into an archive of its own, such as by `docker save NAME`"
        );
    }
    Ok(containers.swap_remove(0))
}

/// The blobs that a manifest names, layers first: the digest of each, and its file.
pub(super) fn blobs(manifest: &[u8]) -> Result<Vec<(String, String)>> {
    let Document { config, layers, .. } = serde_json::from_slice(manifest)?;
    let digests = layers.into_iter().chain(config).map(|descriptor| descriptor.digest);
    digests.map(|digest| Ok((digest.clone(), file_of(&digest)?))).collect()
}

fn add(
    archive: &mut Archive,
    document: Document,
    (name, file): (Option<String>, File),
    depth: usize,
    containers: &mut Vec<Container>,
) -> Result<()> {
    if let Some(config) = document.config {
        let layers = document.layers.into_iter();
        let layers = layers.map(|layer| Ok((file_of(&layer.digest)?, layer.media_type)));
        let layers = layers.collect::<Result<_>>()?;
        containers.push(container(archive, (name, Some(file)), file_of(&config.digest)?, layers)?);
        return Ok(());
    }
    ensure!(depth > 0, "its indexes are nested too deep");
    let is_wasm = |manifest: &Descriptor| {
        manifest.platform.as_ref().is_some_and(|platform| WASM.contains(&platform.architecture.as_str()))
    };
    let any_wasm = document.manifests.iter().any(is_wasm);
    for manifest in document.manifests.iter().filter(|manifest| !any_wasm || is_wasm(manifest)) {
        let file = File { name: file_of(&manifest.digest)?, media_type: manifest.media_type.clone() };
        // An archive of one platform names the others, but does not have them.
        if !archive.has(&file.name) && document.manifests.len() > 1 {
            continue;
        }
        let inner = parsed(&file.name, &archive.blob(&file.name, MAX_DOCUMENT)?)?;
        let name = manifest.name().or_else(|| name.clone());
        add(archive, inner, (name, file), depth - 1, containers)?;
    }
    Ok(())
}

fn container(
    archive: &mut Archive,
    (name, manifest): (Option<String>, Option<File>),
    config: String,
    layers: Vec<(String, String)>,
) -> Result<Container> {
    let text = archive.blob(&config, MAX_DOCUMENT)?;
    let Configuration { os, architecture, config: process, rootfs } = parsed(&config, &text)?;
    let Process { entrypoint, cmd, env, working_dir } = process.unwrap_or_default();
    let (mut unpacked, mut module_layer) = (Vec::new(), None);
    let mut diff_ids = rootfs.diff_ids.into_iter();
    for (file, media_type) in layers {
        if media_type.contains("wasm") {
            ensure!(
                module_layer.is_none(),
                "an image has several modules as layers, and a container runs one"
            );
            module_layer = Some(file);
        } else {
            ensure!(
                media_type.is_empty() || media_type.contains("tar"),
                "its layer '{file}' has the media type '{media_type}', which is neither a tar archive nor a module"
            );
            unpacked.push(Layer { file, diff_id: diff_ids.next() });
        }
    }
    Ok(Container {
        name,
        manifest,
        config,
        platform: format!("{os}/{architecture}"),
        args: [entrypoint.unwrap_or_default(), cmd.unwrap_or_default()].concat(),
        env: env.unwrap_or_default(),
        working_directory: working_dir.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
        layers: unpacked,
        module_layer,
    })
}

/// The file of a blob in an OCI layout.
fn file_of(digest: &str) -> Result<String> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.map(|hex| format!("blobs/sha256/{hex}"))
        .with_context(|| format!("the digest '{digest}' is not of the kind sha256"))
}

fn parsed<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("its file '{name}' is not what it should be"))
}
