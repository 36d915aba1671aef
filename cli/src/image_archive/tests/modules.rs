use std::fs;
use std::path::Path;

use anyhow::Result;

use super::super::modules::{Image, read};
use super::Item::{Directory, File as Plain, HardLink, Link};
use super::*;

fn search(bytes: &[u8]) -> Result<Image> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.tar");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

fn found(bytes: &[u8]) -> Vec<u8> {
    let mut modules = search(bytes).unwrap().modules;
    assert_eq!(modules.len(), 1);
    modules.remove(0).bytes
}

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", search(bytes).unwrap_err())
}

#[test]
fn the_module_is_the_one_that_a_container_would_run() {
    let (lower, upper) = (numbered(1), numbered(2));
    let file = |path: &'static str, module: &[u8]| Plain(path, module.to_vec());
    for (what, layers, right) in [
        ("replaced", vec![vec![file("ssr.wasm", &lower)], vec![file("./ssr.wasm", &upper)]], &upper),
        ("another file", vec![vec![file("ssr.wasm", &lower)], vec![file("other.wasm", &upper)]], &lower),
        ("a link", vec![vec![file("app/v1.wasm", &lower), Link("ssr.wasm", "app/v1.wasm")]], &lower),
        (
            "an absolute link",
            vec![vec![file("app/v1.wasm", &lower), Link("ssr.wasm", "/app/./v1.wasm")]],
            &lower,
        ),
        (
            "a link that leads above the root",
            vec![vec![file("app/v1.wasm", &lower), Link("ssr.wasm", "../../app/v1.wasm")]],
            &lower,
        ),
        ("a hard link", vec![vec![file("v1.wasm", &lower), HardLink("ssr.wasm", "v1.wasm")]], &lower),
        (
            "a hard link to a lower layer's",
            vec![vec![file("v1.wasm", &lower)], vec![HardLink("ssr.wasm", "v1.wasm")]],
            &lower,
        ),
        (
            "a file through a directory's link",
            vec![
                vec![Directory("real"), Link("dir", "real"), Link("ssr.wasm", "real/x.wasm")],
                vec![file("dir/x.wasm", &upper)],
            ],
            &upper,
        ),
        (
            "removed and added again",
            vec![
                vec![file("ssr.wasm", &lower)],
                vec![Plain(".wh.ssr.wasm", Vec::new())],
                vec![file("ssr.wasm", &upper)],
            ],
            &upper,
        ),
        (
            "a whiteout behind what its own layer adds",
            vec![
                vec![file("a/old.wasm", &lower), Link("ssr.wasm", "a/new.wasm")],
                vec![file("a/new.wasm", &upper), Plain("a/.wh..wh..opq", Vec::new())],
            ],
            &upper,
        ),
    ] {
        assert!(found(&image(layers)) == *right, "{what}");
    }
}

#[test]
fn what_an_upper_layer_removes_is_not_there() {
    let module = || Plain("app/ssr.wasm", numbered(1));
    let link = || Link("ssr.wasm", "app/ssr.wasm");
    for (what, upper) in [
        ("a whiteout", vec![Plain("app/.wh.ssr.wasm", Vec::new())]),
        ("a directory's whiteout", vec![Plain(".wh.app", Vec::new())]),
        ("an opaque directory", vec![Directory("app"), Plain("app/.wh..wh..opq", Vec::new())]),
        ("a file in place of the directory", vec![Plain("app", b"text".to_vec())]),
        ("a directory in its place", vec![Directory("app/ssr.wasm")]),
    ] {
        let said = refused(&image(vec![vec![module(), link()], upper]));
        assert!(said.contains("'/ssr.wasm': there is no such file in the image"), "{what}: {said}");
    }
    let circle = vec![Link("ssr.wasm", "a"), Link("a", "ssr.wasm")];
    assert!(refused(&image(vec![circle])).contains("no such file"));
}

#[test]
fn layers_may_be_packed_in_any_way_and_so_may_the_archive() {
    let tar = layer(vec![Plain("ssr.wasm", numbered(1)), Plain("dist/large.js", vec![b'x'; 300_000])]);
    let process = json!({ "Entrypoint": ["/ssr.wasm"], "Env": ["A=1", "SSR_RENDER_MEMORY_LIMIT=64MiB"] });
    for (packed, kind) in [(tar.clone(), ""), (gzip(&tar), "+gzip"), (zstd(&tar), "+zstd")] {
        let archive = layout(process.clone(), &[(packed, tar.clone(), &format!("{TAR}{kind}"))]);
        for archive in [archive.clone(), gzip(&archive), zstd(&archive)] {
            assert_eq!(found(&archive), numbered(1), "{kind}");
        }
        let limits = search(&archive).unwrap().render_memory_limits;
        assert_eq!(limits.into_iter().collect::<Vec<_>>(), ["64MiB"]);
    }
}

#[test]
fn the_entrypoint_is_looked_up_as_in_a_container() {
    let tar = layer(vec![Plain("app/site.wasm", numbered(1)), Plain("bin/site.wasm", numbered(2))]);
    let of = |process: Value| layout(process, &[(tar.clone(), tar.clone(), TAR)]);
    for (process, number) in [
        (json!({ "Cmd": ["/app/site.wasm", "/dist"] }), 1),
        (json!({ "Entrypoint": ["./site.wasm"], "WorkingDir": "/app" }), 1),
        (json!({ "Entrypoint": ["site.wasm"], "WorkingDir": "/app", "Env": ["PATH=/none"] }), 1),
        (json!({ "Entrypoint": ["site.wasm"], "WorkingDir": "/app", "Env": ["PATH=/none:/bin"] }), 2),
        (json!({ "Entrypoint": ["/app/site.wasm#main"] }), 1),
    ] {
        assert_eq!(found(&of(process.clone())), numbered(number), "{process}");
    }
    assert!(refused(&of(json!({}))).contains("no entrypoint"));
    assert!(refused(&of(json!({ "Entrypoint": ["/app"] }))).contains("no such file"));
}

#[test]
fn a_module_may_be_a_layer_and_a_file_of_its_own() {
    let assets = layer(vec![Plain("dist/x.js", b"let x".to_vec())]);
    let process = json!({ "Entrypoint": ["/ssr.wasm", "/dist"] });
    let module = (numbered(1), numbered(1), "application/wasm");
    let archive = layout(process.clone(), &[(assets.clone(), assets, TAR), module.clone()]);
    assert_eq!(found(&archive), numbered(1));
    assert!(refused(&layout(process, &[module.clone(), module])).contains("several modules"));
    assert_eq!(found(&numbered(3)), numbered(3));
    assert_eq!(found(b"(module)"), b"\0asm\x01\0\0\0");
}

#[test]
fn dockers_older_format_is_read_and_equal_modules_count_once() {
    let tar = |number| layer(vec![Plain("ssr.wasm", numbered(number))]);
    let config = json!({ "config": { "Entrypoint": ["/ssr.wasm"] } }).to_string().into_bytes();
    let saved = json!([
        { "Config": "a.json", "Layers": ["1/layer.tar"] },
        { "Config": "a.json", "Layers": ["2/layer.tar"] },
        { "Config": "a.json", "Layers": ["1/layer.tar", "3/layer.tar"] },
    ]);
    let archive = layer(vec![
        Plain("manifest.json", saved.to_string().into_bytes()),
        Plain("a.json", config),
        Plain("1/layer.tar", tar(1)),
        Plain("2/layer.tar", tar(2)),
        Link("3/layer.tar", "../1/layer.tar"),
    ]);
    let modules = search(&archive).unwrap().modules;
    assert_eq!(
        modules.iter().map(|module| module.bytes.clone()).collect::<Vec<_>>(),
        [numbered(1), numbered(2)]
    );
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason() {
    let tar = layer(vec![Plain("ssr.wasm", numbered(1))]);
    let process = json!({ "Entrypoint": ["/ssr.wasm"] });
    let whole = layout(process.clone(), &[(tar.clone(), tar.clone(), TAR)]);
    let other_tar = layer(vec![Plain("ssr.wasm", numbered(2))]);
    let foreign = image(vec![vec![Plain("ssr.wasm", b"text".to_vec())]]);
    let broken_digest = {
        let mut bytes = whole.clone();
        let at = bytes.windows(8).rposition(|part| part == [0, b'a', b's', b'm', 1, 0, 0, 0]).unwrap();
        bytes[at + 8 + 8] ^= 1;
        bytes
    };
    for (bytes, says) in [
        (&b""[..], "neither an image archive nor a module"),
        (b"text", "neither an image archive nor a module"),
        (&layer(vec![Plain("index.html", b"<html>".to_vec())]), "neither index.json nor manifest.json"),
        (&foreign, "'/ssr.wasm': it is not a WebAssembly module"),
        (&broken_digest, "the archive is damaged"),
        (
            &layout(process.clone(), &[(tar.clone(), other_tar, TAR)]),
            "the image's configuration says sha256:",
        ),
        (
            &layout(process.clone(), &[(tar.clone(), tar.clone(), "application/pdf")]),
            "media type 'application/pdf'",
        ),
        (&layout(process, &[(b"junk".to_vec(), b"junk".to_vec(), TAR)]), "neither a tar archive nor one"),
        (&whole[..2000], "cannot read"),
        (&gzip(&whole)[..300], "cannot read"),
    ] {
        let said = refused(bytes);
        assert!(said.contains("site.tar") && said.contains(says), "{says}: {said}");
    }
    assert!(format!("{:#}", read(Path::new("/no/such.tar")).unwrap_err()).contains("'/no/such.tar'"));
}

#[test]
fn nested_compression_is_not_followed_forever() {
    let nested = (0..20).fold(numbered(1), |bytes, _| gzip(&bytes));
    assert!(search(&nested).is_err());
}
