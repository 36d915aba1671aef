use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use super::super::site::{Image, Unpacked};
use super::Item::{Directory, File as Plain, HardLink, Link};
use super::*;

/// An archive's site, unpacked.
struct Site {
    directory: tempfile::TempDir,
    unpacked: Unpacked,
    env: Vec<(String, String)>,
}

fn unpack(bytes: &[u8]) -> anyhow::Result<Site> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.tar");
    fs::write(&path, bytes).unwrap();
    let image = Image::read(File::open(&path).unwrap())?;
    let env = image.env();
    let into = directory.path().join("private");
    fs::create_dir(&into).unwrap();
    let unpacked = image.unpack(&into, &|| false)?.expect("nobody stopped it");
    Ok(Site { directory, unpacked, env })
}

fn refused(bytes: &[u8]) -> String {
    match unpack(bytes) {
        Ok(site) => panic!("unpacked to {}", site.unpacked.root.display()),
        Err(error) => format!("{error:#}"),
    }
}

impl Site {
    /// All files below the root, with what is read from them.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.unpacked.root.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&self.unpacked.root).unwrap().to_str().unwrap().to_owned();
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    pending.push(path);
                } else {
                    let real = path.canonicalize().unwrap();
                    assert!(
                        real.starts_with(self.directory.path().canonicalize().unwrap()),
                        "{name} leads out"
                    );
                    let text = fs::read(real).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    files.insert(name, text.unwrap_or_else(|_| "a directory".to_owned()));
                }
            }
        }
        files
    }

    fn module(&self) -> Vec<u8> {
        fs::read(&self.unpacked.module).unwrap()
    }
}

fn text<'a>(path: &'a str, content: &str) -> Item<'a> {
    Plain(path, content.into())
}

fn of(process: Value, layers: Vec<Vec<Item<'_>>>) -> Vec<u8> {
    let layers: Vec<_> = layers.into_iter().map(layer).map(|tar| (tar.clone(), tar, TAR)).collect();
    layout(process, &layers)
}

/// An image as `ssr image` describes it, with the module in a layer of its own.
fn site(layers: Vec<Vec<Item<'_>>>) -> Vec<u8> {
    let module = vec![Plain("ssr.wasm", numbered(1)), Directory("dist")];
    of(
        json!({ "Entrypoint": ["/ssr.wasm"], "Cmd": ["/dist"] }),
        std::iter::once(module).chain(layers).collect(),
    )
}

#[test]
fn files_are_those_that_a_container_sees() {
    let archive = site(vec![
        vec![
            text("dist/index.html", "old"),
            text("dist/gone.js", "gone"),
            text("dist/whole/gone.js", "gone"),
            text("dist/opaque/gone.js", "gone"),
            text("dist/kept.js", "kept"),
        ],
        vec![
            text("dist/index.html", "new"),
            text("dist/.wh.gone.js", ""),
            text("dist/.wh.whole", ""),
            text("dist/opaque/.wh..wh..opq", ""),
            text("dist/opaque/new.js", "new"),
            HardLink("dist/same.js", "dist/kept.js"),
            Link("dist/relative.js", "opaque/../kept.js"),
            Link("dist/absolute.js", "/dist/kept.js"),
            Link("dist/above.js", "/../../dist/kept.js"),
            Link("dist/deep", "/dist/opaque"),
            Link("dist/dangling.js", "/etc/passwd"),
            Link("dist/here", "."),
        ],
    ]);
    let site = unpack(&archive).unwrap();
    let mut files = site.files();
    assert_eq!(files.remove("ssr.wasm").map(|_| site.module()), Some(numbered(1)));
    let expected = [
        ("dist/above.js", "kept"),
        ("dist/absolute.js", "kept"),
        ("dist/deep", "a directory"),
        ("dist/here", "a directory"),
        ("dist/index.html", "new"),
        ("dist/kept.js", "kept"),
        ("dist/opaque/new.js", "new"),
        ("dist/relative.js", "kept"),
        ("dist/same.js", "kept"),
    ];
    assert_eq!(
        files.into_iter().collect::<Vec<_>>(),
        expected.map(|(path, text)| (path.into(), text.into()))
    );
    assert_eq!(site.unpacked.assets.as_deref(), Some(&*site.unpacked.root.join("dist")));
}

#[test]
fn the_entrypoint_the_command_and_the_environment_are_the_images() {
    let files = || vec![vec![Plain("app/site.wasm", numbered(2)), text("app/public/a.js", "a")]];
    let process = json!({
        "Entrypoint": ["./site.wasm"], "Cmd": ["public"], "WorkingDir": "/app",
        "Env": ["SSR_LOG_LEVEL=debug", "EMPTY=", "WITH=a=b"], "User": "65532", "ExposedPorts": { "8080/tcp": {} },
    });
    let site = unpack(&of(process, files())).unwrap();
    assert_eq!(site.module(), numbered(2));
    assert_eq!(site.unpacked.assets.as_deref(), Some(&*site.unpacked.root.join("app/public")));
    let expected = [("SSR_LOG_LEVEL", "debug"), ("EMPTY", ""), ("WITH", "a=b")];
    assert_eq!(site.env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let function = json!({ "Entrypoint": ["/app/site.wasm#main"] });
    let site = unpack(&of(function, files())).unwrap();
    assert!(site.unpacked.module.ends_with("/app/site.wasm#main") && site.unpacked.assets.is_none());
    assert!(refused(&of(json!({}), files())).contains("no entrypoint"));
    assert!(
        refused(&of(json!({ "Entrypoint": ["/none"] }), files())).contains("'/none': there is no such file")
    );
    let missing = json!({ "Entrypoint": ["/app/site.wasm", "/dist"] });
    assert!(refused(&of(missing, files())).contains("'/dist': there is no such directory"));
    let many = json!({ "Entrypoint": ["/app/site.wasm"], "Cmd": ["/app", "--listen", "x"] });
    assert!(refused(&of(many, files())).contains("too many arguments (--listen x)"));
}

#[test]
fn a_module_that_is_a_layer_is_found() {
    let assets = layer(vec![text("dist/x.js", "let x")]);
    let process = json!({ "Entrypoint": ["/ssr.wasm", "/dist"] });
    let module = (numbered(1), numbered(1), "application/wasm");
    let site = unpack(&layout(process, &[(assets.clone(), assets, TAR), module])).unwrap();
    assert_eq!(site.module(), numbered(1));
    assert_eq!(site.files().into_keys().collect::<Vec<_>>(), ["dist/x.js"]);
}

#[test]
fn layers_may_be_packed_in_any_way() {
    let tar = layer(vec![Plain("ssr.wasm", numbered(1)), text("dist/large.js", &"x".repeat(300_000))]);
    let process = json!({ "Entrypoint": ["/ssr.wasm", "/dist"] });
    for (packed, kind) in [(tar.clone(), ""), (gzip(&tar), "+gzip"), (zstd(&tar), "+zstd")] {
        let site =
            unpack(&layout(process.clone(), &[(packed, tar.clone(), &format!("{TAR}{kind}"))])).unwrap();
        assert_eq!(site.files()["dist/large.js"].len(), 300_000, "{kind}");
    }
}

#[test]
fn an_archive_with_several_images_is_refused_and_they_are_named() {
    let saved = |entries: Value| {
        let config = |module: &str| json!({ "os": "wasi", "architecture": "wasm", "config": { "Entrypoint": [module] } });
        layer(vec![
            Plain("manifest.json", entries.to_string().into_bytes()),
            Plain("a.json", config("/ssr.wasm").to_string().into_bytes()),
            Plain("b.json", config("/./ssr.wasm").to_string().into_bytes()),
            Plain("1/layer.tar", layer(vec![Plain("ssr.wasm", numbered(1))])),
        ])
    };
    let image = |config: &str, tags: &[&str]| json!({ "Config": config, "RepoTags": tags, "Layers": ["1/layer.tar"] });
    let said = refused(&saved(json!([image("a.json", &["me/a:1"]), image("b.json", &["me/b:2"])])));
    assert!(said.contains("several images: me/a:1 (wasi/wasm), me/b:2 (wasi/wasm)"), "{said}");
    // One image with two names is one.
    let one = saved(json!([image("a.json", &["me/a:1"]), image("a.json", &["me/a:latest"])]));
    assert_eq!(unpack(&one).unwrap().module(), numbered(1));
}

#[test]
fn what_leads_out_of_the_image_is_refused() {
    for (item, says) in [
        (Link("dist/out.js", "../../etc/passwd"), "its link 'dist/out.js' to '../../etc/passwd' leads out"),
        (Link("out", "../x"), "its link 'out' to '../x' leads out"),
        (HardLink("dist/out.js", "../../etc/passwd"), "'../../etc/passwd' leads out"),
    ] {
        let said = refused(&site(vec![vec![item]]));
        assert!(said.contains(says), "{said}");
    }
    // A writer that refuses such names cannot be used.
    let mut tar = layer(vec![text("XX/XX/evil", "evil")]);
    tar[..10].copy_from_slice(b"../../evil");
    let sum: u32 =
        tar[..148].iter().chain(&[b' '; 8]).chain(&tar[156..512]).map(|&byte| u32::from(byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let process = json!({ "Entrypoint": ["/ssr.wasm"] });
    let said = refused(&layout(process, &[(tar.clone(), tar, TAR)]));
    assert!(said.contains("its entry '../../evil' leads out of the image"), "{said}");
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let site =
        unpack(&site(vec![vec![Link("dist/assets", target)], vec![text("dist/assets/evil.js", "evil")]]))
            .unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // As in a container: the link's target is a path in the image.
    let within = format!("{}/evil.js", target.trim_start_matches('/'));
    assert_eq!(site.files()[&within], "evil");
}

#[test]
fn images_that_are_for_other_machines_are_refused_before_they_are_unpacked() {
    let tar = layer(vec![text("bin/sh", "#!/bin/bash"), text("modules.toml", "[[module]]\n")]);
    let image = |entrypoint: &str, os: &str| {
        let config = json!({ "os": os, "architecture": "amd64", "config": { "Entrypoint": [entrypoint] } });
        layer(vec![
            Plain(
                "manifest.json",
                json!([{ "Config": "a.json", "Layers": ["1.tar"] }]).to_string().into_bytes(),
            ),
            Plain("a.json", config.to_string().into_bytes()),
            Plain("1.tar", tar.clone()),
        ])
    };
    let said = refused(&image("/bin/sh", "linux"));
    assert!(
        said.contains("'/bin/sh': it is not a WebAssembly module; the image is for linux/amd64"),
        "{said}"
    );
    assert!(refused(&image("/modules.toml", "linux")).contains("table of WAGI's routes"));
}

#[test]
fn a_damaged_archive_is_refused() {
    let whole = site(vec![vec![text("dist/a.js", "let a = 1")]]);
    let at = whole.windows(9).rposition(|part| part == b"let a = 1").unwrap();
    let mut damaged = whole.clone();
    damaged[at] ^= 1;
    assert!(refused(&damaged).contains("the archive is damaged"), "{}", refused(&damaged));
    let cut = refused(&whole[..at]);
    assert!(!cut.is_empty(), "{cut}");
    assert!(refused(&layer(vec![text("a", "b")])).contains("neither index.json nor manifest.json"));
}

#[test]
fn unpacking_stops_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.tar");
    fs::write(&path, site(vec![vec![text("dist/a.js", "a")]])).unwrap();
    let image = Image::read(File::open(&path).unwrap()).unwrap();
    assert!(image.unpack(Path::new(directory.path()), &|| true).unwrap().is_none());
}
