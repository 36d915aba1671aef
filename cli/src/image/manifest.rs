//! The documents that describe the image: configuration, manifest and index.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, HistoryBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os,
    Platform, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::layer::{ASSETS, Layer, MODULE, hex};
use super::name::ImageName;

/// containerd names an imported image by this annotation.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Where the server listens by default.
const PORT: &str = "8080/tcp";

/// `docker build` sets this in every image: set here too, it gives the same image as
/// Dockerfile.wasm.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Options of the image.
pub struct ImageOptions {
    /// Environment variables, in the order given.
    pub env: Vec<(String, String)>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// The user and group to run as; root if `None`.
    pub user: Option<String>,
    /// Creation time, in seconds since 1970.
    pub created: u64,
}

/// A JSON document of the image, stored under its digest.
pub struct Blob {
    /// SHA-256 in hexadecimal.
    pub digest: String,
    /// The JSON text.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn new(document: impl serde::Serialize) -> anyhow::Result<Self> {
        let bytes = canonical(document)?;
        Ok(Self { digest: hex(&Sha256::digest(&bytes)), bytes })
    }

    fn descriptor(&self, media_type: MediaType) -> anyhow::Result<Descriptor> {
        descriptor(media_type, &self.digest, self.bytes.len() as u64)
    }
}

/// The image's configuration: the process to run, its environment and the layer.
pub fn config(options: &ImageOptions, layer: &Layer) -> anyhow::Result<Blob> {
    let created = UNIX_EPOCH + Duration::from_secs(options.created);
    let created = humantime::format_rfc3339_seconds(created).to_string();
    let history = HistoryBuilder::default().created(&created).created_by("ssr image").build()?;
    let rootfs =
        RootFsBuilder::default().typ("layers").diff_ids([format!("sha256:{}", layer.diff_id)]).build()?;
    let config = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(Arch::Wasm)
        .os(wasi())
        .config(process(options)?)
        .rootfs(rootfs)
        .history([history])
        .build()?;
    Blob::new(config)
}

fn process(options: &ImageOptions) -> anyhow::Result<Config> {
    let mut config = ConfigBuilder::default()
        .entrypoint([format!("/{MODULE}")])
        .cmd([format!("/{ASSETS}")])
        .exposed_ports([PORT.to_owned()])
        .working_dir("/")
        .stop_signal("SIGTERM");
    if let Some(user) = &options.user {
        config = config.user(user);
    }
    let mut env = Vec::new();
    if !options.env.iter().any(|(name, _)| name == "PATH") {
        env.push(PATH.to_owned());
    }
    env.extend(options.env.iter().map(|(k, v)| format!("{k}={v}")));
    config = config.env(env);
    if !options.labels.is_empty() {
        let labels: HashMap<_, _> = options.labels.iter().cloned().collect();
        config = config.labels(labels);
    }
    Ok(config.build()?)
}

/// The manifest, which refers to the configuration and the layer.
pub fn manifest(config: &Blob, layer: &Layer) -> anyhow::Result<Blob> {
    let layer = descriptor(MediaType::ImageLayerGzip, &layer.digest, layer.size)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config.descriptor(MediaType::ImageConfig)?)
        .layers([layer])
        .build()?;
    Blob::new(manifest)
}

/// `index.json`: refers to the manifest under the image's name, where importers look
/// for it.
pub fn index(name: &ImageName, manifest: &Blob) -> anyhow::Result<Vec<u8>> {
    let annotations = HashMap::from([
        (CONTAINERD_NAME.to_owned(), name.to_string()),
        (ANNOTATION_REF_NAME.to_owned(), name.tag().to_owned()),
    ]);
    let mut descriptor = manifest.descriptor(MediaType::ImageManifest)?;
    descriptor.set_platform(Some(platform()?));
    descriptor.set_annotations(Some(annotations));
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests([descriptor])
        .build()?;
    canonical(index)
}

/// `oci-layout`: marks the archive as an OCI layout.
pub fn layout() -> anyhow::Result<Vec<u8>> {
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    canonical(layout)
}

/// `manifest.json`: the same image for loaders that only know Docker's format.
pub fn docker(name: &ImageName, config: &Blob, layer: &Layer) -> anyhow::Result<Vec<u8>> {
    canonical(json!([{
        "Config": format!("blobs/sha256/{}", config.digest),
        "RepoTags": [name.familiar()],
        "Layers": [format!("blobs/sha256/{}", layer.digest)],
    }]))
}

fn wasi() -> Os {
    Os::Other("wasi".to_owned())
}

fn platform() -> anyhow::Result<Platform> {
    let platform = PlatformBuilder::default().architecture(Arch::Wasm).os(wasi()).build()?;
    Ok(platform)
}

fn descriptor(media_type: MediaType, digest: &str, size: u64) -> anyhow::Result<Descriptor> {
    let digest: Digest = format!("sha256:{digest}").parse()?;
    let descriptor = DescriptorBuilder::default().media_type(media_type).digest(digest).size(size).build()?;
    Ok(descriptor)
}

/// A document's JSON with the keys of every object sorted: the types above hold
/// hash maps, whose order differs from run to run.
fn canonical(document: impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let value = serde_json::to_value(document).context("cannot write the image's description")?;
    Ok(sorted(value).to_string().into_bytes())
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
