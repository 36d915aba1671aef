//! Images: of small sites, built by the CLI under test, and an ordinary one for
//! Linux.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::linux;
use crate::oci_archive::{self, Layer, TAR_LAYER};
use crate::shell::{self, Output};

const ARCHIVE: &str = "image.tar";

/// Sites need no privilege, so none of the tests' sites has any.
pub const USER: &str = "65532:65532";

/// An image's archive, its name and its platform.
pub struct Image {
    dir: tempfile::TempDir,
    name: String,
    platform: &'static str,
}

impl Image {
    /// The site whose JavaScript is in `tests/fixtures`.
    pub fn of_site(fixture: &str) -> Self {
        let dir = directory();
        let entry = shell::repository().join("tests/fixtures").join(fixture);
        let module = dir.path().join("ssr.wasm");
        let mut build = shell::ssr(["build"]);
        shell::run(build.arg(entry).arg("-o").arg(&module)).success();
        Self::pack(dir)
    }

    /// An image with these bytes as its module.
    pub fn of_module(bytes: &[u8]) -> Self {
        let dir = directory();
        fs::write(dir.path().join("ssr.wasm"), bytes).expect("a module");
        Self::pack(dir)
    }

    /// The site of tests with its module as layers of these media types, beside one of
    /// assets.
    pub fn with_module_layers(media_types: &[&'static str]) -> Self {
        let mut assets = tar::Builder::new(Vec::new());
        oci_archive::directory(&mut assets, "dist/", 0o755);
        oci_archive::file(&mut assets, "dist/hello.txt", b"hello from the assets\n", 0o644);
        let assets = assets.into_inner().expect("an archive");
        Self::of_layers(&["/ssr.wasm", "/dist"], vec![(TAR_LAYER, assets)], media_types)
    }

    /// The same, and nothing beside the module.
    pub fn of_module_layer(media_type: &'static str) -> Self {
        Self::of_layers(&["/ssr.wasm"], Vec::new(), &[media_type])
    }

    fn of_layers(command: &[&str], mut layers: Vec<Layer>, modules: &[&'static str]) -> Self {
        let site = Self::of_site("site.js");
        layers.extend(modules.iter().map(|media_type| (*media_type, site.module())));
        let config = json!({ "Entrypoint": command, "User": USER });
        oci_archive::write(&site.path(), site.name(), site.platform(), config, &layers);
        site
    }

    /// A small Linux: busybox, and a program that is a script.
    pub fn of_linux() -> Self {
        let dir = directory();
        let name = "docker.io/library/linux:latest".to_owned();
        linux::pack(&name, &dir.path().join(ARCHIVE));
        Self { dir, name, platform: linux::PLATFORM }
    }

    fn pack(dir: tempfile::TempDir) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let assets = dir.path().join("dist");
        fs::create_dir(&assets).expect("a directory");
        fs::write(assets.join("hello.txt"), "hello from the assets\n").expect("an asset");
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let image =
            Self { name: format!("docker.io/library/site-{count}:latest"), dir, platform: "wasi/wasm" };
        image.pack_to(&image.path()).success();
        image
    }

    /// Packs the same site once more.
    pub fn pack_to(&self, output: &Path) -> Output {
        let mut image = shell::ssr(["image", "--tag", self.short_name(), "--wasm"]);
        image
            .arg(self.dir.path().join("ssr.wasm"))
            .arg("--static")
            .arg(self.dir.path().join("dist"))
            .args(["--user", USER, "-o"])
            .arg(output);
        shell::run(&mut image)
    }

    /// The archive.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(ARCHIVE)
    }

    /// The module in it.
    pub fn module(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("ssr.wasm")).expect("a module")
    }

    /// The platform it is for.
    pub fn platform(&self) -> &'static str {
        self.platform
    }

    /// The image's name as a person types it.
    pub fn short_name(&self) -> &str {
        self.name.trim_start_matches("docker.io/library/").trim_end_matches(":latest")
    }

    /// The image's full name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ssr-site-").tempdir().expect("a temporary directory")
}
