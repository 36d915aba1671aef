//! Images of small sites, built by the CLI under test.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{self, Output};

/// Sites need no privilege, so none of the tests' sites has any.
pub const USER: &str = "65532:65532";

/// An archive made by `ssr image`, and its name.
pub struct Image {
    dir: tempfile::TempDir,
    name: String,
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

    fn pack(dir: tempfile::TempDir) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let assets = dir.path().join("dist");
        fs::create_dir(&assets).expect("a directory");
        fs::write(assets.join("hello.txt"), "hello from the assets\n").expect("an asset");
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let image = Self { name: format!("docker.io/library/site-{count}:latest"), dir };
        image.pack_to(&image.path()).success();
        image
    }

    /// Packs the same site once more.
    pub fn pack_to(&self, output: &Path) -> Output {
        let tag = self.name.trim_start_matches("docker.io/library/").trim_end_matches(":latest");
        let mut image = shell::ssr(["image", "--tag", tag, "--wasm"]);
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
        self.dir.path().join("site.tar")
    }

    /// The module in it.
    pub fn module(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("ssr.wasm")).expect("a module")
    }

    /// The image's full name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ssr-site-").tempdir().expect("a temporary directory")
}
