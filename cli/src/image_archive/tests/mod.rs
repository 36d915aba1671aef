//! Archives to read.

mod modules;
mod site;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::archive;

/// A module that differs from others by its number.
fn numbered(number: u8) -> Vec<u8> {
    let section = wasm_encoder::CustomSection { name: "number".into(), data: vec![number].into() };
    wasm_encoder::Module::new().section(&section).clone().finish()
}

/// An entry of a layer: a file, or what its kind says.
enum Item<'a> {
    File(&'a str, Vec<u8>),
    Directory(&'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}

use Item::{Directory, File as Plain, HardLink, Link};

fn layer(items: Vec<Item<'_>>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        match item {
            Plain(path, bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, &bytes[..]).unwrap();
            }
            Directory(path) => {
                header.set_entry_type(EntryType::Directory);
                tar.append_data(&mut header, path, &[][..]).unwrap();
            }
            Link(path, target) => {
                header.set_entry_type(EntryType::Symlink);
                tar.append_link(&mut header, path, target).unwrap();
            }
            HardLink(path, target) => {
                header.set_entry_type(EntryType::Link);
                tar.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let compress =
        |part| ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    // Two frames, and one that is to be skipped between them.
    [&compress(first)[..], &[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9], &compress(second)].concat()
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", archive::hex(&Sha256::digest(bytes)))
}

/// An OCI layout with one image. Each layer: as it is packed, its tar, and its media type.
fn layout(process: Value, layers: &[(Vec<u8>, Vec<u8>, &str)]) -> Vec<u8> {
    let diff_ids: Vec<_> =
        layers.iter().filter(|layer| layer.2.contains("tar")).map(|layer| digest_of(&layer.1)).collect();
    let config =
        json!({ "os": "wasi", "architecture": "wasm", "config": process, "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
    let descriptor = |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": digest_of(bytes), "size": bytes.len() });
    let manifest = json!({
        "config": descriptor(config.as_bytes(), "application/vnd.oci.image.config.v1+json"),
        "layers": layers.iter().map(|(packed, _, kind)| descriptor(packed, kind)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string();
    let index = json!({ "manifests": [descriptor(manifest.as_bytes(), "application/vnd.oci.image.manifest.v1+json")] });
    let blob = |bytes: &[u8]| (digest_of(bytes).replace("sha256:", "blobs/sha256/"), bytes.to_vec());
    let mut files = vec![
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(config.as_bytes()),
        blob(manifest.as_bytes()),
    ];
    files.extend(layers.iter().map(|(packed, ..)| blob(packed)));
    layer(files.iter().map(|(name, bytes)| Plain(name, bytes.clone())).collect())
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The same, of layers that are not packed, whose entrypoint is /ssr.wasm.
fn image(layers: Vec<Vec<Item<'_>>>) -> Vec<u8> {
    let layers: Vec<_> = layers.into_iter().map(layer).map(|tar| (tar.clone(), tar, TAR)).collect();
    layout(json!({ "Entrypoint": ["/ssr.wasm"] }), &layers)
}
