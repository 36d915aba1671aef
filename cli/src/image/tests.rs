use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

/// An empty module: magic and version.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A small site in a temporary directory.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("dist/assets")).unwrap();
        fs::write(dir.path().join("ssr.wasm"), MODULE).unwrap();
        fs::write(dir.path().join("dist/index.html"), "<html>").unwrap();
        fs::write(dir.path().join("dist/assets/app.js"), "app()").unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, output: &str) -> ImageArgs {
        ImageArgs {
            wasm: self.path("ssr.wasm"),
            assets: self.path("dist"),
            tag: "me/site:1".to_owned(),
            output: self.path(output),
            env: vec!["SSR_GREETING=a=b".to_owned()],
            user: Some("65532:65532".to_owned()),
            label: vec!["b=2".to_owned(), "a=1".to_owned()],
        }
    }

    fn pack(&self, output: &str) -> Vec<u8> {
        run(self.args(output)).unwrap();
        fs::read(self.path(output)).unwrap()
    }

    /// The error, after checking that nothing was left behind.
    fn refusal(&self, args: ImageArgs) -> String {
        let before = names(self.dir.path());
        let error = run(args).expect_err("should be refused");
        assert_eq!(names(self.dir.path()), before, "something was written");
        format!("{error:#}")
    }
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn unpack(archive: impl Read) -> BTreeMap<String, (tar::Header, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, (entry.header().clone(), bytes));
    }
    files
}

fn json(files: &BTreeMap<String, (tar::Header, Vec<u8>)>, path: &str) -> Value {
    serde_json::from_slice(&files[path].1).unwrap()
}

fn blob(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap();
    format!("blobs/{}", digest.replace(':', "/"))
}

#[test]
fn the_image_holds_the_module_and_the_assets() {
    let archive = unpack(&*Site::new().pack("site.tar"));
    assert_eq!(json(&archive, "oci-layout")["imageLayoutVersion"], "1.0.0");

    let index = json(&archive, "index.json");
    let entry = &index["manifests"][0];
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(entry["platform"]["os"], "wasi");
    assert_eq!(entry["platform"]["architecture"], "wasm");
    let annotations = &entry["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "docker.io/me/site:1");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "1");

    let manifest = json(&archive, &blob(entry));
    let config = json(&archive, &blob(&manifest["config"]));
    assert_eq!(config["os"], "wasi");
    assert_eq!(config["architecture"], "wasm");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let process = &config["config"];
    assert_eq!(process["Entrypoint"], serde_json::json!(["/ssr.wasm"]));
    assert_eq!(process["Cmd"], serde_json::json!(["/dist"]));
    assert_eq!(process["ExposedPorts"], serde_json::json!({"8080/tcp": {}}));
    assert_eq!(process["WorkingDir"], "/");
    assert_eq!(process["User"], "65532:65532");
    assert_eq!(process["StopSignal"], "SIGTERM");
    assert!(process["Env"][0].as_str().unwrap().starts_with("PATH=/"));
    assert_eq!(process["Env"][1], "SSR_GREETING=a=b");
    assert_eq!(process["Labels"], serde_json::json!({"a": "1", "b": "2"}));

    let (_, layer) = &archive[&blob(&manifest["layers"][0])];
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&**layer).read_to_end(&mut tar).unwrap();
    let diff_id = format!("sha256:{}", layer::hex(&Sha256::digest(&tar)));
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!([diff_id]));

    let files = unpack(&*tar);
    let paths: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["dist/", "dist/assets/", "dist/assets/app.js", "dist/index.html", "ssr.wasm"]);
    assert_eq!(files["ssr.wasm"].1, MODULE);
    for (path, (header, _)) in &files {
        let mode = if path.ends_with('/') { 0o755 } else { 0o644 };
        assert_eq!(header.mode().unwrap(), mode, "{path}");
        assert_eq!(header.uid().unwrap(), 0);
        assert_eq!(header.gid().unwrap(), 0);
        assert_eq!(header.mtime().unwrap(), 0);
    }
}

#[test]
fn every_blob_has_the_digest_in_its_name() {
    let archive = unpack(&*Site::new().pack("site.tar"));
    let blobs: Vec<_> = archive
        .iter()
        .filter_map(|(path, (_, bytes))| Some((path.strip_prefix("blobs/sha256/")?, bytes)))
        .filter(|(digest, _)| !digest.is_empty())
        .collect();
    assert_eq!(blobs.len(), 3);
    for (digest, bytes) in blobs {
        assert_eq!(layer::hex(&Sha256::digest(bytes)), digest);
    }
}

#[test]
fn docker_finds_the_same_image_in_its_own_format() {
    let archive = unpack(&*Site::new().pack("site.tar"));
    let docker = json(&archive, "manifest.json");
    assert_eq!(docker[0]["RepoTags"], serde_json::json!(["me/site:1"]));
    for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
        assert!(archive.contains_key(path.as_str().unwrap()));
    }
}

#[test]
fn equal_input_gives_equal_bytes_whatever_its_path_and_permissions() {
    let (one, two) = (Site::new(), Site::new());
    fs::set_permissions(two.path("ssr.wasm"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(one.pack("a.tar") == two.pack("b.tar"));
}

#[test]
fn a_changed_asset_changes_the_image() {
    let site = Site::new();
    let before = site.pack("site.tar");
    fs::write(site.path("dist/assets/app.js"), "app(2)").unwrap();
    assert!(before != site.pack("site.tar"));
}

#[test]
fn a_link_inside_the_assets_is_kept() {
    let site = Site::new();
    symlink("assets/app.js", site.path("dist/latest.js")).unwrap();
    let layer = layer::build(&site.path("ssr.wasm"), &site.path("dist"), 0).unwrap();
    let files = unpack(flate2::read::GzDecoder::new(layer.file));
    let (header, _) = &files["dist/latest.js"];
    let target = header.link_name().unwrap().unwrap();
    assert_eq!(target, Path::new("assets/app.js"));
}

#[test]
fn a_link_that_leaves_the_assets_is_refused() {
    let site = Site::new();
    for (target, why) in [
        ("../ssr.wasm", "points out of the assets"),
        ("/etc/passwd", "is absolute"),
        ("nothing", "is dangling"),
    ] {
        let link = site.path("dist/bad");
        symlink(target, &link).unwrap();
        let error = site.refusal(site.args("site.tar"));
        assert!(error.contains(why) && error.contains("dist/bad"), "{error}");
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn a_special_file_is_refused_by_name() {
    let site = Site::new();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("dist/socket")).unwrap();
    let error = site.refusal(site.args("site.tar"));
    assert!(error.contains("dist/socket"), "{error}");
}

#[test]
fn bad_input_is_refused_by_name_and_nothing_is_written() {
    let site = Site::new();
    fs::write(site.path("page.js"), "export default {}").unwrap();
    let change = |change: &dyn Fn(&mut ImageArgs)| {
        let mut args = site.args("site.tar");
        change(&mut args);
        site.refusal(args)
    };
    let error = change(&|args| args.wasm = site.path("none.wasm"));
    assert!(error.contains("none.wasm: cannot be read"), "{error}");
    let error = change(&|args| args.wasm = site.path("page.js"));
    assert!(error.contains("page.js: not a WebAssembly module"), "{error}");
    let error = change(&|args| args.wasm = site.path("dist"));
    assert!(error.contains("dist: not a file"), "{error}");
    let error = change(&|args| args.assets = site.path("ssr.wasm"));
    assert!(error.contains("ssr.wasm: not a directory"), "{error}");
    let error = change(&|args| args.tag = "Not A Tag".to_owned());
    assert!(error.contains("Not A Tag"), "{error}");
    let error = change(&|args| args.env = vec!["NOVALUE".to_owned()]);
    assert!(error.contains("--env \"NOVALUE\""), "{error}");
    let error = change(&|args| args.user = Some("nobody".to_owned()));
    assert!(error.contains("--user \"nobody\""), "{error}");
    let error = change(&|args| args.output = site.path("none/site.tar"));
    assert!(error.contains("none"), "{error}");
    let error = change(&|args| args.output = site.path("dist/site.tar"));
    assert!(error.contains("inside the assets"), "{error}");
    let _socket = std::os::unix::net::UnixListener::bind(site.path("special.tar")).unwrap();
    let error = change(&|args| args.output = site.path("special.tar"));
    assert!(error.contains("special.tar: this is not a regular file"), "{error}");
}
