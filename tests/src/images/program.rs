//! Images of WebAssembly programs that are no sites.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::image::{Image, USER, directory, next_name};
use super::oci_archive::{self, TAR_LAYER};
use crate::under_test::repository;

/// A file of an image: its path, without the first slash, and its content.
pub type ImageFile<'a> = (&'a str, &'a [u8]);

impl Image {
    /// The tests' program, compiled for this target, as `/program.wasm`, with these files.
    pub fn program(target: &str, files: &[ImageFile<'_>]) -> Self {
        let program = compiled(target);
        let files = [&[("program.wasm", program.as_slice())], files].concat();
        Self::from_files(&json!({ "Entrypoint": ["/program.wasm"], "User": USER }), &files)
    }

    /// The tests' component that answers requests, with the tests' assets.
    pub fn handler() -> Self {
        let component = built("handler.wasm");
        let config = json!({ "Entrypoint": ["/handler.wasm"], "Cmd": ["/dist"], "User": USER });
        Self::from_files(
            &config,
            &[("handler.wasm", component.as_slice()), ("dist/hello.txt", b"hello from the assets\n")],
        )
    }

    /// An image with these files, and this `config` object in its configuration.
    pub fn from_files(config: &Value, files: &[ImageFile<'_>]) -> Self {
        Self::for_platform("wasi/wasm", config, files)
    }

    /// The same for a platform.
    pub fn for_platform(platform: &'static str, config: &Value, files: &[ImageFile<'_>]) -> Self {
        let mut root = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            for parent in Path::new(path).ancestors().skip(1).filter(|parent| *parent != Path::new("")) {
                oci_archive::directory(&mut root, &format!("{}/", parent.display()), 0o755);
            }
            oci_archive::file(&mut root, path, bytes, 0o644);
        }
        let root = root.into_inner().expect("an archive");
        let image = Self::new(directory(), next_name("program"), platform);
        oci_archive::write(
            &image.path(),
            image.name(),
            image.platform(),
            config.clone(),
            &[(TAR_LAYER, root)],
        );
        image
    }
}

/// The tests' program, compiled for a target of rustc.
pub fn compiled(target: &str) -> Vec<u8> {
    built(&format!("program.{target}.wasm"))
}

/// A module that scripts/build-fixtures.sh has made.
pub fn built(name: &str) -> Vec<u8> {
    read(&repository().join("target/fixtures").join(name), "build-fixtures.sh")
}

/// A module that scripts/build-modules.sh has made with other people's tools.
pub fn foreign(name: &str) -> Vec<u8> {
    read(&foreign_modules().join(name), "build-modules.sh")
}

/// Where those are.
pub fn foreign_modules() -> PathBuf {
    repository().join("target/modules")
}

fn read(path: &Path, script: &str) -> Vec<u8> {
    std::fs::read(path)
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/{script} makes it", path.display()))
}
