//! An image in an archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::linux;
use super::oci_archive::{self, Layer, TAR_LAYER};
use super::other_engine::of_another_engine;
use crate::shell::{self, Output};
use crate::under_test::{repository, ssr};

/// Where Docker looks for images without a registry in their names.
const LIBRARY: &str = "docker.io/library/";

const ARCHIVE: &str = "image.tar";

/// How long a build may take: in an emulated machine, minutes.
const BUILD_TIMEOUT: Duration = Duration::from_secs(400);

/// The user of the tests' sites: sites need no privileges.
pub const USER: &str = "65532:65532";

/// An image: its archive, name and platform.
pub struct Image {
    dir: tempfile::TempDir,
    name: String,
    platform: &'static str,
}

impl Image {
    /// A site made from a file in `tests/fixtures`.
    pub fn from_fixture(fixture: &str) -> Self {
        let dir = directory();
        let entry = repository().join("tests/fixtures").join(fixture);
        let module = dir.path().join("ssr.wasm");
        let mut build = ssr(["build"]);
        shell::run_within(build.arg(entry).arg("-o").arg(&module), BUILD_TIMEOUT).success();
        Self::pack(dir)
    }

    /// The same of an engine that the shim does not carry, so that it has to be compiled.
    pub fn to_compile(fixture: &str) -> Self {
        Self::from_module(&of_another_engine(&Self::from_fixture(fixture).module()))
    }

    /// An image with these bytes as its module.
    pub fn from_module(bytes: &[u8]) -> Self {
        let dir = directory();
        fs::write(dir.path().join("ssr.wasm"), bytes).expect("a module");
        Self::pack(dir)
    }

    /// The tests' site with a layer of assets, and its module as one more layer for each
    /// of these media types.
    pub fn with_module_layers(media_types: &[&'static str]) -> Self {
        let mut assets = tar::Builder::new(Vec::new());
        oci_archive::directory(&mut assets, "dist/", 0o755);
        oci_archive::file(&mut assets, "dist/hello.txt", b"hello from the assets\n", 0o644);
        let assets = assets.into_inner().expect("an archive");
        Self::from_layers(&["/ssr.wasm", "/dist"], vec![(TAR_LAYER, assets)], media_types)
    }

    /// The tests' site with a symbolic link in its root.
    pub fn with_link(link: &str, target: &str) -> Self {
        let site = Self::from_fixture("site.js");
        let mut root = tar::Builder::new(Vec::new());
        oci_archive::file(&mut root, "ssr.wasm", &site.module(), 0o644);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        root.append_link(&mut header, link, target).expect("a link");
        let root = root.into_inner().expect("an archive");
        let config = json!({ "Entrypoint": ["/ssr.wasm"], "User": USER });
        oci_archive::write(&site.path(), site.name(), site.platform(), config, &[(TAR_LAYER, root)]);
        site
    }

    /// The tests' site whose only layer is its module.
    pub fn from_module_layer(media_type: &'static str) -> Self {
        Self::from_layers(&["/ssr.wasm"], Vec::new(), &[media_type])
    }

    fn from_layers(command: &[&str], mut layers: Vec<Layer>, modules: &[&'static str]) -> Self {
        let site = Self::from_fixture("site.js");
        layers.extend(modules.iter().map(|media_type| (*media_type, site.module())));
        let config = json!({ "Entrypoint": command, "User": USER });
        oci_archive::write(&site.path(), site.name(), site.platform(), config, &layers);
        site
    }

    /// A small Linux system: busybox, and a program that is a script.
    pub fn linux() -> Self {
        let dir = directory();
        let name = "docker.io/library/linux:latest".to_owned();
        linux::pack(&name, &dir.path().join(ARCHIVE));
        Self { dir, name, platform: linux::PLATFORM }
    }

    pub(super) fn new(dir: tempfile::TempDir, name: String, platform: &'static str) -> Self {
        Self { dir, name, platform }
    }

    fn pack(dir: tempfile::TempDir) -> Self {
        let assets = dir.path().join("dist");
        fs::create_dir(&assets).expect("a directory");
        fs::write(assets.join("hello.txt"), "hello from the assets\n").expect("an asset");
        let image = Self::new(dir, next_name("site"), "wasi/wasm");
        image.pack_to(&image.path()).success();
        image
    }

    /// Packs the same site again.
    pub fn pack_to(&self, output: &Path) -> Output {
        let mut image = ssr(["image", "--tag", self.short_name(), "--wasm"]);
        image
            .arg(self.dir.path().join("ssr.wasm"))
            .arg("--static")
            .arg(self.dir.path().join("dist"))
            .args(["--user", USER, "-o"])
            .arg(output);
        shell::run(&mut image)
    }

    /// The archive's path.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(ARCHIVE)
    }

    /// The bytes of the image's module.
    pub fn module(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("ssr.wasm")).expect("a module")
    }

    /// The image's platform.
    pub fn platform(&self) -> &'static str {
        self.platform
    }

    /// The image's name without the registry and tag, as a person types it.
    pub fn short_name(&self) -> &str {
        self.name.trim_start_matches(LIBRARY).trim_end_matches(":latest")
    }

    /// The image's full name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A name for an image that no other one has.
pub(super) fn next_name(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{LIBRARY}{kind}-{}:latest", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ssr-site-").tempdir().expect("a temporary directory")
}
