//! `ssr cache`, as the person who runs a node meets it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::stderr;

/// A machine: a directory with a cache in it, and a configuration of its own.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ssr"))
            .current_dir(self.0.path())
            .env("SSR_NODE_CONFIG", self.path("config.toml"))
            .args(args)
            .output()
            .unwrap()
    }

    fn run_cache(&self, args: &[&str]) -> Output {
        self.run(&[&["cache", "--dir", "cache"], args].concat())
    }

    /// Standard output and standard error of a command that succeeds.
    fn does(&self, args: &[&str]) -> (String, String) {
        let output = self.run_cache(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    }

    /// Standard error of a command that fails.
    fn refuses(&self, args: &[&str]) -> String {
        let output = self.run_cache(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
        stderr(&output)
    }

    fn config(&self, text: &str) {
        fs::write(self.path("config.toml"), text).unwrap();
    }

    /// Makes a key, and gives the line for nodes' configurations.
    fn key(&self, name: &str) -> String {
        self.does(&["key", name]).0
    }

    fn trust(&self, line: &str) {
        self.config(&format!("[cache]\n{line}"));
    }

    /// The files of compiled code in its cache.
    fn entries(&self) -> Vec<PathBuf> {
        let Ok(directory) = fs::read_dir(self.cache()) else { return Vec::new() };
        let paths = directory.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| !path.ends_with("lock")).collect();
        paths.sort();
        paths
    }
}

/// A module that is a site by its section, and that takes no time to compile.
fn module(built_by: &str) -> Vec<u8> {
    let json = format!(r#"{{"abi":1,"built_by":"{built_by}"}}"#);
    let mut bytes = b"\0asm\x01\0\0\0\0".to_vec();
    bytes.push(u8::try_from(1 + 8 + json.len()).unwrap());
    bytes.push(8);
    bytes.extend_from_slice(b"ssr:site");
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// The target that this machine runs, and one that it does not.
fn targets() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", "arm64"),
        "aarch64" => ("arm64", "amd64"),
        _ => ("arm", "arm64"),
    }
}

/// A node that has a module, `ssr.wasm`.
fn with_module() -> Node {
    let node = Node::new();
    fs::write(node.path("ssr.wasm"), module("0.1.0")).unwrap();
    node
}

/// A machine with a key, `key.pem`, and code for `target` in `ssr.export`; and the
/// line that trusts the key.
fn exporter(target: &str) -> (Node, String) {
    let node = with_module();
    let line = node.key("key.pem");
    node.does(&["add", "--target", target, "ssr.wasm"]);
    node.does(&["export", "--sign", "key.pem"]);
    (node, line)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_added_is_listed_until_it_is_removed() {
    let node = with_module();
    let (table, _) = node.does(&["list"]);
    assert_eq!(table, "0 files, 0 B of at most 256 MiB, in 'cache'\n");
    assert!(!node.cache().exists(), "looking has made a cache");

    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("for this machine") && said.contains("compiled in"), "{said}");
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("is there already"), "{said}");
    node.does(&["add", "--target", "arm", "--target", "arm64,amd64", "ssr.wasm"]);
    let (table, _) = node.does(&["list"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("MODULE        NAME      TARGET        SIZE"), "{table}");
    assert_eq!(lines.len(), 6, "{table}");
    for target in ["this machine", "amd64", "arm64", "arm"] {
        let row = format!("  ssr.wasm  {target:12}  ");
        assert!(lines.iter().any(|line| line.contains(&row) && line.ends_with("ago")), "{table}");
    }
    assert!(lines[5].starts_with("4 files, ") && lines[5].ends_with("in 'cache'"), "{table}");

    fs::write(node.path("other.wasm"), module("0.1.1")).unwrap();
    node.does(&["add", "other.wasm"]);
    let (_, said) = node.does(&["remove", &lines[1][..8]]);
    assert!(said.starts_with("removed 4 files"), "{said}");
    assert!(node.refuses(&["remove", &lines[1][..8]]).contains("there is no module"));
    assert!(node.refuses(&["remove", "ab"]).contains("'ab' is no digest"));
    let (_, said) = node.does(&["clear"]);
    assert!(said.starts_with("removed 1 file ("), "{said}");
    assert!(node.entries().is_empty());
}

#[test]
fn what_cannot_be_used_is_shown_as_such() {
    let node = with_module();
    node.does(&["add", "ssr.wasm"]);
    let entry = &node.entries()[0];
    let whole = fs::read(entry).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(entry, &damaged).unwrap();
    let (table, _) = node.does(&["list"]);
    assert!(table.lines().nth(1).unwrap().ends_with("ago  damaged"), "{table}");
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("warning: ") && said.contains("compiled in"), "{said}");
    assert!(fs::read(entry).unwrap() == whole);
    fs::write(entry, "of a later version").unwrap();
    let (table, _) = node.does(&["list"]);
    assert!(table.lines().nth(1).unwrap().ends_with("ago  another version"), "{table}");
}

#[test]
fn a_site_is_found_in_its_image() {
    let node = with_module();
    fs::create_dir(node.path("dist")).unwrap();
    fs::write(node.path("dist/index.html"), "<html>").unwrap();
    let pack = ["image", "--wasm", "ssr.wasm", "--static", "dist", "--tag", "site", "-o", "site.tar"];
    let memory = [&pack[..], &["--env", "SSR_RENDER_MEMORY=32MiB"]].concat();
    assert!(node.run(&memory).status.success());
    node.does(&["add", "--target", "arm", "site.tar"]);
    let (table, _) = node.does(&["list"]);
    assert!(table.contains("  ssr.wasm  arm (SSR_RENDER_MEMORY=33554432)  "), "{table}");
    node.does(&["add", "site.tar"]);
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("is there already"), "{said}");

    fs::write(node.path("ssr.wasm"), b"\0asm\x01\0\0\0").unwrap();
    assert!(node.run(&pack).status.success());
    let said = node.refuses(&["add", "site.tar"]);
    assert!(
        said.contains("'site.tar' holds no site: 'ssr.wasm': it is a WebAssembly module but no site"),
        "{said}"
    );
    assert!(node.refuses(&["add", "nowhere.tar"]).contains("cannot read 'nowhere.tar'"));
    // Nothing is compiled if something cannot be read.
    node.does(&["clear"]);
    fs::write(node.path("ssr.wasm"), module("0.1.0")).unwrap();
    node.refuses(&["add", "ssr.wasm", "site.tar"]);
    assert!(node.entries().is_empty());
}

#[test]
fn the_cache_is_the_one_that_the_configuration_names() {
    let node = with_module();
    node.config(&format!("[cache]\ndirectory = '{}'\nsize = '1MiB'\n", text(&node.path("elsewhere"))));
    let added = node.run(&["cache", "add", "ssr.wasm"]);
    assert!(stderr(&added).contains("/elsewhere'"), "{}", stderr(&added));
    let listed = node.run(&["cache", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("of at most 1.0 MiB"));
    node.config("[cache]\nsize = 'much'\n");
    let said = node.refuses(&["list"]);
    assert!(said.contains("config.toml") && said.contains("'much'"), "{said}");
}

#[test]
fn a_directory_that_others_write_to_is_not_trusted() {
    let node = with_module();
    fs::create_dir(node.cache()).unwrap();
    fs::set_permissions(node.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["list"][..], &["add", "ssr.wasm"], &["clear"]] {
        assert!(node.refuses(args).contains("'cache' is not trusted with compiled code"));
    }
    assert!(node.entries().is_empty());
}

#[test]
fn code_that_another_machine_has_compiled_need_not_be_compiled() {
    let (here, other) = targets();
    let (exporter, line) = exporter(here);
    let node = with_module();
    node.trust(&line);
    let (_, said) = node.does(&["import", text(&exporter.path("ssr.export"))]);
    assert!(said.contains(&format!("for {here}: ")), "{said}");
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(node.entries().len(), 1);
    assert_eq!(fs::read(&node.entries()[0]).unwrap(), fs::read(&exporter.entries()[0]).unwrap());

    // A file for several kinds of machines serves each of them.
    exporter.does(&["add", "--target", other, "ssr.wasm"]);
    let (_, said) = exporter.does(&["export", "--sign", "key.pem", "-o", "both"]);
    assert!(said.contains("for arm64: ") && said.contains("for amd64: "), "{said}");
    node.does(&["clear"]);
    let (_, said) = node.does(&["import", text(&exporter.path("both"))]);
    assert!(said.contains(&format!("for {other}: left out")), "{said}");
    assert_eq!(node.entries().len(), 1);
    // Nor does anything that was made for this machine go out.
    let digest = exporter.does(&["list"]).0.lines().nth(1).unwrap()[..12].to_owned();
    let only = ["export", "--sign", "key.pem", "-o", "one", "--target", other, &digest];
    exporter.does(&only);
    assert!(node.refuses(&["import", text(&exporter.path("one"))]).contains("this machine runs code for"));
}

#[test]
fn nothing_is_imported_that_is_not_signed_by_somebody_who_is_trusted() {
    let (here, other) = targets();
    let (exporter, line) = exporter(here);
    let export = exporter.path("ssr.export");
    let node = Node::new();
    let refuses = |path: &Path, says: &str| {
        let said = node.refuses(&["import", text(path)]);
        assert!(said.contains(says), "{said}");
        assert!(node.entries().is_empty());
    };
    refuses(&export, "this node trusts nobody's compiled code");
    node.trust(&exporter.key("other.pem"));
    refuses(&export, "which is not among those that this node trusts");
    node.trust("trusted-keys = ['c2VjcmV0']");
    refuses(&export, "'c2VjcmV0' is no Ed25519 public key");

    node.trust(&line);
    let whole = fs::read(&export).unwrap();
    let file = node.path("file");
    // All bytes are tried where there is no process for each.
    for place in (0..whole.len()).step_by(whole.len() / 16).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        fs::write(&file, &changed).unwrap();
        refuses(&file, "is not imported: it");
    }
    for length in [0, 20, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        refuses(&file, "is not imported: it");
    }
    refuses(&exporter.entries()[0], "it is no file that `ssr cache export` has made");
    refuses(&node.path("nowhere"), "cannot read");
    exporter.does(&["add", "--target", other, "ssr.wasm"]);
    exporter.does(&["export", "--sign", "key.pem", "--target", other]);
    refuses(&export, &format!("it holds code for {other}, and this machine runs code for {here}"));
}

#[test]
fn only_what_others_can_run_is_exported() {
    let node = with_module();
    node.key("key.pem");
    let says = |args: &[&str], says: &str| {
        let said = node.refuses(&[&["export", "--sign", "key.pem"], args].concat());
        assert!(said.contains(says), "{said}");
        assert!(!node.path("ssr.export").exists());
    };
    says(&[], "there is nothing in 'cache' that can be exported");
    if targets().0 != "arm" {
        node.does(&["add", "ssr.wasm"]);
        says(&[], "this machine's very processor");
    }
    says(&["--target", "arm64"], "`ssr cache add --target arm64 site.tar`");
    says(&["0123456789"], "there is no module '0123456789'");
    node.does(&["add", "--target", "arm64", "ssr.wasm"]);
    says(&["--target", "amd64"], "there is no code for amd64");
    says(&["-o", "."], "no ordinary file");
    says(&["-o", "no/such"], "cannot write 'no/such'");
    let said = node.refuses(&["export", "--sign", "ssr.wasm"]);
    assert!(said.contains("'ssr.wasm'"), "{said}");
    assert!(node.refuses(&["export", "--sign", "nothing.pem"]).contains("`ssr cache key FILE` makes one"));
    for entry in node.entries() {
        let mut damaged = fs::read(&entry).unwrap();
        damaged[100] ^= 1;
        fs::write(&entry, damaged).unwrap();
    }
    says(&[], "its checksum does not fit");
}

#[test]
fn a_key_is_made_once_and_is_nobody_else_s_to_read() {
    let node = Node::new();
    let line = node.key("key.pem");
    assert!(line.starts_with("trusted-keys = [\"") && line.ends_with("=\"]\n"), "{line}");
    let metadata = fs::metadata(node.path("key.pem")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(node.key("key.pem"), line);
    assert_ne!(node.key("other.pem"), line);
    fs::write(node.path("text"), "text").unwrap();
    assert!(node.refuses(&["key", "text"]).contains("'text': it is no Ed25519 private key"));
    assert_eq!(fs::read_to_string(node.path("text")).unwrap(), "text");
}
