//! An ordinary Linux image, made from the machine's busybox.

use std::fs;
use std::path::Path;

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::oci_archive::{self, TAR_LAYER, file};
use crate::shell;

/// The machine's own platform.
pub(super) const PLATFORM: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "linux/amd64",
    b"aarch64" => "linux/arm64",
    // Of bench-render, as scripts/bench-render-32-bit.sh compiles it.
    b"x86" => "linux/386",
    _ => panic!("the Linux image is made for x86_64, aarch64 and x86 only"),
};

/// A program that is not an ELF file.
const SCRIPT: &str = "#!/bin/sh\necho \"a script, given $*\"\n";

/// Writes the image's archive.
pub(super) fn pack(name: &str, archive: &Path) {
    let config = json!({ "Cmd": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"], "WorkingDir": "/" });
    oci_archive::write(archive, name, PLATFORM, config, &[(TAR_LAYER, layer())]);
}

/// busybox under each of its names, a script, and the files of users and groups.
fn layer() -> Vec<u8> {
    let busybox = fs::read("/bin/busybox").expect("busybox: run `scripts/setup.sh containerd`");
    let names = shell::run(std::process::Command::new("/bin/busybox").arg("--list")).success().stdout;
    let mut tar = Builder::new(Vec::new());
    for (directory, mode) in [("bin/", 0o755), ("etc/", 0o755), ("proc/", 0o755), ("tmp/", 0o1777)] {
        oci_archive::directory(&mut tar, directory, mode);
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
