//! The image in an archive, as a registry takes it: a manifest, and the blobs that it names.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::archive::{Archive, check, hex};
use super::compression::{self, Format};
use super::layers::{Hashing, Tree};
use super::manifest::{self, Container};

/// Media types of what is described here.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image: checked, and ready to be sent.
pub struct Image {
    archive: Archive,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: String,
    /// Such as `wasi/wasm`.
    pub platform: String,
    /// Layers, then the configuration; each once.
    pub blobs: Vec<Blob>,
}

/// A blob of an image.
pub struct Blob {
    /// `sha256:` and hexadecimal digits.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    source: Source,
}

enum Source {
    /// A file of the archive.
    Archived(String),
    /// A layer that was compressed here.
    Compressed(File),
}

impl Image {
    /// Reads the archive's only image, and checks all of it.
    pub fn read(file: File) -> Result<Self> {
        let mut archive = Archive::open(file)?;
        let container = manifest::only(manifest::containers(&mut archive)?)?;
        // Damaged layers are found before anything is sent.
        Tree::of(&mut archive, &container.layers)?;
        let (manifest, media_type, blobs) = match &container.manifest {
            Some(manifest) => described(&mut archive, manifest)?,
            None => describe(&mut archive, &container)?,
        };
        let mut once: Vec<Blob> = Vec::new();
        for blob in blobs {
            if once.iter().all(|other| other.digest != blob.digest) {
                once.push(blob);
            }
        }
        Ok(Self { archive, manifest, media_type, platform: container.platform, blobs: once })
    }

    /// The manifest's digest, which is the image's.
    pub fn digest(&self) -> String {
        digest_of(&self.manifest)
    }

    /// A blob's bytes, from the first.
    pub fn open(&mut self, blob: usize) -> Result<Box<dyn Read + Send>> {
        Ok(match &self.blobs[blob].source {
            Source::Archived(file) => Box::new(self.archive.reader(file)?),
            Source::Compressed(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Box::new(file)
            }
        })
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// What an OCI layout has: its manifest is sent as it is, so that the digest stays.
fn described(archive: &mut Archive, manifest: &manifest::File) -> Result<(Vec<u8>, String, Vec<Blob>)> {
    let bytes = archive.blob(&manifest.name, manifest::MAX_DOCUMENT)?;
    let blobs = manifest::blobs(&bytes).with_context(|| format!("its file '{}'", manifest.name))?;
    let blobs = blobs.into_iter().map(|(digest, file)| archived(archive, &file, Some(digest)));
    let blobs = blobs.collect::<Result<Vec<_>>>()?;
    let media_type = serde_json::from_slice::<Value>(&bytes)?["mediaType"].as_str().map(str::to_owned);
    let media_type = media_type.or_else(|| Some(manifest.media_type.clone()).filter(|kind| !kind.is_empty()));
    Ok((bytes, media_type.unwrap_or_else(|| MANIFEST.to_owned()), blobs))
}

/// A manifest for what `docker save` wrote without one. Its layers are not compressed there, and
/// are on the way to a registry.
fn describe(archive: &mut Archive, container: &Container) -> Result<(Vec<u8>, String, Vec<Blob>)> {
    let mut blobs = Vec::new();
    let mut layers = Vec::new();
    for layer in &container.layers {
        let mut file = archive.reader(&layer.file)?;
        let format = Format::of(&compression::head(&mut file)?);
        let (blob, ending) = match format {
            Format::Gzip => (archived(archive, &layer.file, None)?, "+gzip"),
            Format::Zstd => (archived(archive, &layer.file, None)?, "+zstd"),
            Format::Tar | Format::Other => (compressed(file)?, "+gzip"),
        };
        layers.push(
            json!({ "mediaType": format!("{LAYER}{ending}"), "digest": blob.digest, "size": blob.size }),
        );
        blobs.push(blob);
    }
    let config = archived(archive, &container.config, None)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config.digest, "size": config.size },
        "layers": layers,
    });
    blobs.push(config);
    Ok((manifest.to_string().into_bytes(), MANIFEST.to_owned(), blobs))
}

/// A file of the archive, which must have the digest if one is given.
fn archived(archive: &mut Archive, file: &str, digest: Option<String>) -> Result<Blob> {
    let mut hashing = Hashing::new(archive.reader(file)?);
    let size = io::copy(&mut hashing, &mut io::sink())?;
    let found = hashing.finish()?;
    check(file, &found)?;
    let found = format!("sha256:{found}");
    if let Some(digest) = digest {
        ensure!(digest == found, "the archive is damaged: its file '{file}' has the digest {found}");
    }
    Ok(Blob { digest: found, size, source: Source::Archived(file.to_owned()) })
}

fn compressed(mut from: impl Read) -> Result<Blob> {
    let file = tempfile::tempfile().context("cannot make a temporary file")?;
    // Without a time, so that the same layer always has the same digest.
    let mut gzip =
        GzBuilder::new().operating_system(255).write(io::BufWriter::new(file), Compression::best());
    let cannot = "cannot write a temporary file (TMPDIR)";
    io::copy(&mut from, &mut gzip).context(cannot)?;
    let buffer = gzip.finish().context(cannot)?;
    let mut file = buffer.into_inner().map_err(io::IntoInnerError::into_error).context(cannot)?;
    file.rewind()?;
    let mut hashing = Hashing::new(&file);
    let size = io::copy(&mut hashing, &mut io::sink())?;
    let digest = format!("sha256:{}", hashing.finish()?);
    Ok(Blob { digest, size, source: Source::Compressed(file) })
}
