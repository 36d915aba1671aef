//! Docker loads the archive of `ssr image`, and builds the same image from
//! Dockerfile.wasm.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use ssr_e2e::under_test::{repository, ssr};
use ssr_e2e::{Docker, shell};

/// An archive that `docker save` has written.
struct Saved {
    /// The archive's files by name.
    files: BTreeMap<String, Vec<u8>>,
}

/// A file in an image, without its modification time.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    content: Vec<u8>,
}

impl Saved {
    fn open(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        let file = fs::File::open(path).unwrap();
        for entry in tar::Archive::new(file).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(name, bytes);
        }
        Self { files }
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.files[path]).unwrap()
    }

    fn docker_manifest(&self) -> Value {
        self.json("manifest.json")[0].clone()
    }

    /// The image's configuration, without when and how it was built.
    fn config(&self) -> Value {
        let config = self.json(self.docker_manifest()["Config"].as_str().unwrap());
        let mut process = config["config"].clone();
        // A flag for old Windows images, which Docker sets on every image.
        process.as_object_mut().unwrap().remove("ArgsEscaped");
        serde_json::json!({
            "os": config["os"],
            "architecture": config["architecture"],
            "config": process,
        })
    }

    /// The root filesystem: all layers, applied in order.
    fn root(&self) -> BTreeMap<String, Entry> {
        let manifest = self.docker_manifest();
        let layers = manifest["Layers"].as_array().unwrap();
        let mut root = BTreeMap::new();
        for layer in layers {
            let bytes = self.files[layer.as_str().unwrap()].as_slice();
            let tar: Box<dyn Read> = match bytes {
                [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(bytes)),
                _ => Box::new(bytes),
            };
            for entry in tar::Archive::new(tar).entries().unwrap() {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().to_string_lossy().into_owned();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                let header = entry.header();
                let entry = Entry {
                    kind: header.entry_type().as_byte(),
                    mode: header.mode().unwrap(),
                    owner: (header.uid().unwrap(), header.gid().unwrap()),
                    content,
                };
                root.insert(name.trim_end_matches('/').to_owned(), entry);
            }
        }
        root
    }
}

#[test]
fn docker_loads_our_image_and_builds_the_same_one_from_dockerfile_wasm() {
    let docker = Docker::shared();
    let dir = tempfile::tempdir().unwrap();
    let assets = dir.path().join("dist/assets");
    fs::create_dir_all(&assets).unwrap();
    fs::write(dir.path().join("ssr.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(dir.path().join("dist/favicon.svg"), "<svg/>").unwrap();
    fs::write(assets.join("app-1234.js"), "app()").unwrap();
    let archive = dir.path().join("ours.tar");
    let mut image = ssr(["image", "--tag", "ours", "--wasm"]);
    image
        .arg(dir.path().join("ssr.wasm"))
        .arg("--static")
        .arg(dir.path().join("dist"))
        .arg("-o")
        .arg(&archive);
    shell::run(&mut image).success();

    let (here, repository) = (dir.path().display(), repository());
    let output = docker.sh(&format!(
        "cd {here}
        docker load -i ours.tar
        docker buildx build --quiet -f {repository}/Dockerfile.wasm --platform wasi/wasm --provenance=false \
          --build-arg WASM=ssr.wasm --build-arg STATIC=dist -t built .
        docker image inspect ours:latest built:latest >inspect.json
        docker save ours -o ours-saved.tar
        docker save built -o built-saved.tar",
        repository = repository.display()
    ));
    assert!(output.contains("Loaded image: ours:latest"));

    let inspect = fs::read(dir.path().join("inspect.json")).unwrap();
    let inspect: Value = serde_json::from_slice(&inspect).unwrap();
    for image in inspect.as_array().unwrap() {
        assert_eq!(image["Os"], "wasi", "{image}");
        assert_eq!(image["Architecture"], "wasm", "{image}");
    }

    let ours = Saved::open(&dir.path().join("ours-saved.tar"));
    let built = Saved::open(&dir.path().join("built-saved.tar"));
    assert_eq!(ours.config(), built.config());
    assert_eq!(ours.root(), built.root());
    assert!(ours.root().contains_key("dist/assets/app-1234.js"));
}
