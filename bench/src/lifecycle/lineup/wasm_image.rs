//! An image in the form that runwasi expects: the module is a layer of its own.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const NAME: &str = "docker.io/library/hello:latest";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Writes an OCI archive that contains the module. Returns the layer's digest.
pub fn write(module: &Path, name: &str, archive: &Path) -> Result<String> {
    let module = fs::read(module).with_context(|| module.display().to_string())?;
    let mut tar = tar::Builder::new(File::create(archive)?);
    let layer = blob(&mut tar, "application/wasm", &module)?;
    let config = json!({
        "architecture": "wasm",
        "os": "wasi",
        "config": { "Entrypoint": ["/hello.wasm"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = blob(&mut tar, CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let mut manifest = blob(&mut tar, MANIFEST, manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({ "io.containerd.image.name": name });
    manifest["platform"] = json!({ "architecture": "wasm", "os": "wasi" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
    append(&mut tar, "index.json", index.to_string().as_bytes())?;
    append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar.finish()?;
    Ok(layer["digest"].as_str().context("a digest")?.to_owned())
}

/// Adds a blob and returns its descriptor.
fn blob(tar: &mut tar::Builder<File>, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = format!("{:x}", Sha256::digest(bytes));
    append(tar, &format!("blobs/sha256/{digest}"), bytes)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

fn append(tar: &mut tar::Builder<File>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, path, bytes)?;
    Ok(())
}
