//! An ordinary Linux image, made of the machine's busybox: an OCI layout in one
//! archive, as a registry would hand it out.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::shell;

/// The machine's own platform.
pub(crate) const PLATFORM: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "linux/amd64",
    b"aarch64" => "linux/arm64",
    _ => panic!("tests of Linux images know x86_64 and aarch64"),
};

/// A program that is no ELF file.
const SCRIPT: &str = "#!/bin/sh\necho \"a script, given $*\"\n";

/// Writes the archive.
pub(crate) fn pack(name: &str, archive: &Path) {
    let layer = layer();
    let config = json!({
        "os": "linux",
        "architecture": PLATFORM.trim_start_matches("linux/"),
        "config": { "Cmd": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": "latest",
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });

    let mut tar = Builder::new(fs::File::create(archive).expect("an archive"));
    file(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
    file(&mut tar, "index.json", index.to_string().as_bytes(), 0o644);
    for blob in [&config, &layer, &manifest] {
        file(&mut tar, &digest(blob).replace(':', "/").replace("sha256", "blobs/sha256"), blob, 0o644);
    }
    tar.finish().expect("an archive");
}

/// busybox under each of its names, a script, and who is who.
fn layer() -> Vec<u8> {
    let busybox = fs::read("/bin/busybox").expect("busybox: run `scripts/setup.sh containerd`");
    let names = shell::run(std::process::Command::new("/bin/busybox").arg("--list")).success().stdout;
    let mut tar = Builder::new(Vec::new());
    for (directory, mode) in [("bin/", 0o755), ("etc/", 0o755), ("proc/", 0o755), ("tmp/", 0o1777)] {
        entry(&mut tar, directory, EntryType::Directory, &[], mode);
    }
    file(&mut tar, "bin/busybox", &busybox, 0o755);
    file(&mut tar, "bin/script.sh", SCRIPT.as_bytes(), 0o755);
    file(&mut tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0o644);
    file(&mut tar, "etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644);
    for name in names.lines().filter(|name| *name != "busybox") {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox").expect("a link");
    }
    tar.into_inner().expect("an archive")
}

fn file(tar: &mut Builder<impl std::io::Write>, path: &str, bytes: &[u8], mode: u32) {
    entry(tar, path, EntryType::Regular, bytes, mode);
}

fn entry(tar: &mut Builder<impl std::io::Write>, path: &str, kind: EntryType, bytes: &[u8], mode: u32) {
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
