//! An OCI image layout in one archive, for images that the CLI does not make.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

pub(super) const TAR_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer: its media type and its content.
pub(super) type Layer = (&'static str, Vec<u8>);

/// Writes an image. `config` is the `config` object of the image's configuration: what
/// its containers are started with.
pub(super) fn write(archive: &Path, name: &str, platform: &str, config: Value, layers: &[Layer]) {
    let (os, architecture) = platform.split_once('/').expect("a platform");
    // containerd expects a diff id for each layer that is unpacked, and no others.
    let unpacked = layers.iter().filter(|(media_type, _)| *media_type == TAR_LAYER);
    let diff_ids: Vec<_> = unpacked.map(|(_, bytes)| digest(bytes)).collect();
    let config = json!({
        "os": os,
        "architecture": architecture,
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": layers.iter().map(|(media_type, bytes)| descriptor(media_type, bytes)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": "latest",
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });

    let mut tar = Builder::new(File::create(archive).expect("an archive"));
    file(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
    file(&mut tar, "index.json", index.to_string().as_bytes(), 0o644);
    let layers = layers.iter().map(|(_, bytes)| bytes);
    for blob in layers.chain([&config, &manifest]) {
        file(&mut tar, &digest(blob).replace("sha256:", "blobs/sha256/"), blob, 0o644);
    }
    tar.finish().expect("an archive");
}

/// Adds a file.
pub(super) fn file(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8], mode: u32) {
    entry(tar, path, EntryType::Regular, bytes, mode);
}

/// Adds a directory.
pub(super) fn directory(tar: &mut Builder<impl Write>, path: &str, mode: u32) {
    entry(tar, path, EntryType::Directory, &[], mode);
}

fn entry(tar: &mut Builder<impl Write>, path: &str, kind: EntryType, bytes: &[u8], mode: u32) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes).expect("an entry");
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}
