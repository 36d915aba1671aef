//! `ssr cache`, from the command line of a node.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{binary, stderr};
use ssr_code_cache::cache::{CodeCache, Failure};
use ssr_code_cache::metadata::Key;
use wasm_encoder::CustomSection;

/// A machine: a directory with its own cache and configuration.
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
        Command::new(binary())
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

    /// Creates a key and returns the line for nodes' configurations.
    fn key(&self, name: &str) -> String {
        self.does(&["key", name]).0
    }

    fn trust(&self, line: &str) {
        self.config(&format!("[cache]\n{line}"));
    }

    /// The files of compiled code in the cache.
    fn entries(&self) -> Vec<PathBuf> {
        let Ok(directory) = fs::read_dir(self.cache()) else { return Vec::new() };
        let paths = directory.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect();
        paths.sort();
        paths
    }
}

/// A module whose section makes it a site, and that compiles in no time.
fn module(built_by: &str) -> Vec<u8> {
    let json = format!(r#"{{"abi":1,"built_by":"{built_by}"}}"#);
    let section = CustomSection { name: "ssr:site".into(), data: json.as_bytes().into() };
    let mut module = wasm_encoder::Module::new();
    module.section(&section);
    module.finish()
}

/// The target that this machine can run, and one that it cannot.
fn targets() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", "arm64"),
        "aarch64" => ("arm64", "amd64"),
        _ => ("arm", "arm64"),
    }
}

/// A node with a module, `ssr.wasm`.
fn with_module() -> Node {
    let node = Node::new();
    fs::write(node.path("ssr.wasm"), module("0.1.0")).unwrap();
    node
}

/// A machine with a key, `key.pem`, and code for `target` in `ssr.export`, and the
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
fn added_code_is_listed_until_it_is_removed() {
    let node = with_module();
    let (table, _) = node.does(&["list"]);
    assert_eq!(table, "0 files, 0 B of at most 256 MiB, in 'cache'\n");
    assert!(!node.cache().exists(), "listing created the cache");

    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("for this machine") && said.contains("compiled in"), "{said}");
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("already there"), "{said}");
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
    assert!(node.refuses(&["remove", "ab"]).contains("'ab' is not a digest"));
    let (_, said) = node.does(&["clear"]);
    assert!(said.starts_with("removed 1 file ("), "{said}");
    assert!(node.entries().is_empty());
}

#[test]
fn a_module_that_did_not_compile_is_listed_until_it_is_removed() {
    let node = Node::new();
    let module = "ab".repeat(32);
    let remember = || {
        let cache = CodeCache::open(&node.cache(), 1 << 20).unwrap().for_namespace(Some("k8s.io"));
        let failure =
            Failure { name: "bad.wasm".to_owned(), reason: "it is damaged".to_owned(), passing: false };
        cache.remember_failure(&Key { module: module.clone(), engine: "34".to_owned() }, &failure).unwrap();
    };
    remember();
    let (table, _) = node.does(&["list"]);
    let row = table.lines().nth(1).unwrap();
    for part in ["abababababab  bad.wasm  -", "ago  does not compile  k8s.io"] {
        assert!(row.contains(part), "{table}");
    }
    assert!(node.does(&["remove", "abab"]).1.starts_with("removed 1 file"));
    assert!(node.does(&["list"]).0.starts_with("0 files"));
    remember();
    assert!(node.does(&["clear"]).1.starts_with("removed 1 file"));
    assert!(node.does(&["list"]).0.starts_with("0 files"));
}

#[test]
fn unusable_code_is_listed_with_the_reason() {
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
    fs::write(entry, "from a later version").unwrap();
    let (table, _) = node.does(&["list"]);
    assert!(table.lines().nth(1).unwrap().ends_with("ago  another version"), "{table}");
}

#[test]
fn a_site_is_found_in_its_image() {
    let node = with_module();
    fs::create_dir(node.path("dist")).unwrap();
    fs::write(node.path("dist/index.html"), "<html>").unwrap();
    let pack = ["image", "--wasm", "ssr.wasm", "--static", "dist", "--tag", "site", "-o", "site.tar"];
    let memory = [&pack[..], &["--env", "SSR_RENDER_MEMORY_LIMIT=32MiB"]].concat();
    assert!(node.run(&memory).status.success());
    node.does(&["add", "--target", "arm", "site.tar"]);
    let (table, _) = node.does(&["list"]);
    assert!(table.contains("  ssr.wasm  arm (SSR_RENDER_MEMORY_LIMIT=33554432)  "), "{table}");
    node.does(&["add", "site.tar"]);
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("already there"), "{said}");

    fs::write(node.path("ssr.wasm"), b"\0asm\x01\0\0\0\x01\x7f").unwrap();
    assert!(node.run(&pack).status.success());
    let said = node.refuses(&["add", "site.tar"]);
    assert!(said.contains("'site.tar'") && said.contains("'/ssr.wasm': it is damaged"), "{said}");
    assert!(node.refuses(&["add", "nowhere.tar"]).contains("cannot read 'nowhere.tar'"));
    // Nothing is compiled if a file cannot be read.
    node.does(&["clear"]);
    fs::write(node.path("ssr.wasm"), module("0.1.0")).unwrap();
    node.refuses(&["add", "ssr.wasm", "site.tar"]);
    assert!(node.entries().is_empty());
}

#[test]
fn the_configuration_names_the_cache() {
    let node = with_module();
    node.config(&format!("[cache]\ndirectory = '{}'\nsize = '1MiB'\n", text(&node.path("elsewhere"))));
    let added = node.run(&["cache", "add", "ssr.wasm"]);
    assert!(stderr(&added).contains("/elsewhere'"), "{}", stderr(&added));
    let listed = node.run(&["cache", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("of at most 1.0 MiB"));
    node.config(&format!("[cache]\nenabled = false\ndirectory = '{}'\n", text(&node.path("elsewhere"))));
    let refused = node.run(&["cache", "add", "ssr.wasm"]);
    assert!(stderr(&refused).contains("turns the code cache off"), "{}", stderr(&refused));
    let listed = node.run(&["cache", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("1 file, "), "what is there remains");
    assert!(
        String::from_utf8_lossy(&listed.stdout).ends_with(", which the node's configuration turns off\n")
    );
    node.config("[cache]\nsize = 'much'\n");
    let said = node.refuses(&["list"]);
    assert!(said.contains("config.toml") && said.contains("'much'"), "{said}");
}

#[test]
fn a_directory_that_others_can_write_to_is_not_trusted() {
    let node = with_module();
    fs::create_dir(node.cache()).unwrap();
    fs::set_permissions(node.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["list"][..], &["add", "ssr.wasm"], &["clear"]] {
        assert!(node.refuses(args).contains("'cache' cannot be trusted with compiled code"));
    }
    assert!(node.entries().is_empty());
}

#[test]
fn code_compiled_on_another_machine_is_not_compiled_again() {
    let (here, other) = targets();
    let (exporter, line) = exporter(here);
    let node = with_module();
    node.trust(&line);
    let (_, said) = node.does(&["import", text(&exporter.path("ssr.export"))]);
    assert!(said.contains(&format!("for {here}: ")), "{said}");
    let (_, said) = node.does(&["add", "ssr.wasm"]);
    assert!(said.contains("already there"), "{said}");
    assert_eq!(node.entries().len(), 1);
    assert_eq!(fs::read(&node.entries()[0]).unwrap(), fs::read(&exporter.entries()[0]).unwrap());

    // A file for several kinds of machines works on each of them.
    exporter.does(&["add", "--target", other, "ssr.wasm"]);
    let (_, said) = exporter.does(&["export", "--sign", "key.pem", "-o", "both"]);
    assert!(said.contains("for arm64: ") && said.contains("for amd64: "), "{said}");
    node.does(&["clear"]);
    let (_, said) = node.does(&["import", text(&exporter.path("both"))]);
    assert!(said.contains(&format!("for {other}: skipped")), "{said}");
    assert_eq!(node.entries().len(), 1);
    // `--target` leaves out the code for this machine.
    let digest = exporter.does(&["list"]).0.lines().nth(1).unwrap()[..12].to_owned();
    let only = ["export", "--sign", "key.pem", "-o", "one", "--target", other, &digest];
    exporter.does(&only);
    assert!(node.refuses(&["import", text(&exporter.path("one"))]).contains("this machine runs code for"));
}

#[test]
fn only_code_signed_with_a_trusted_key_is_imported() {
    let (here, other) = targets();
    let (exporter, line) = exporter(here);
    let export = exporter.path("ssr.export");
    let node = Node::new();
    let refuses = |path: &Path, says: &str| {
        let said = node.refuses(&["import", text(path)]);
        assert!(said.contains(says), "{said}");
        assert!(node.entries().is_empty());
    };
    refuses(&export, "this node trusts no key for compiled code");
    node.trust(&exporter.key("other.pem"));
    refuses(&export, "which this node does not trust");
    node.trust("trusted-keys = ['c2VjcmV0']");
    refuses(&export, "'c2VjcmV0' is not an Ed25519 public key");

    node.trust(&line);
    let whole = fs::read(&export).unwrap();
    let file = node.path("file");
    // A sample: unit tests, which start no process, try every byte.
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
    refuses(&exporter.entries()[0], "it was not made by `ssr cache export`");
    refuses(&node.path("nowhere"), "cannot read");
    exporter.does(&["add", "--target", other, "ssr.wasm"]);
    exporter.does(&["export", "--sign", "key.pem", "--target", other]);
    refuses(&export, &format!("it holds code for {other}, but this machine runs code for {here}"));
}

#[test]
fn only_code_that_other_machines_can_run_is_exported() {
    let node = with_module();
    node.key("key.pem");
    let says = |args: &[&str], says: &str| {
        let said = node.refuses(&[&["export", "--sign", "key.pem"], args].concat());
        assert!(said.contains(says), "{said}");
        assert!(!node.path("ssr.export").exists());
    };
    says(&[], "there is nothing to export in 'cache'");
    if targets().0 != "arm" {
        node.does(&["add", "ssr.wasm"]);
        says(&[], "this machine's processor only");
    }
    says(&["--target", "arm64"], "`ssr cache add --target arm64 site.tar`");
    says(&["0123456789"], "there is no module '0123456789'");
    node.does(&["add", "--target", "arm64", "ssr.wasm"]);
    says(&["--target", "amd64"], "there is no code for amd64");
    says(&["-o", "."], "-o .: this is a directory; name a file in it");
    says(&["-o", "no/such"], "-o no/such: cannot use its directory 'no'");
    let said = node.refuses(&["export", "--sign", "ssr.wasm"]);
    assert!(said.contains("'ssr.wasm'"), "{said}");
    assert!(
        node.refuses(&["export", "--sign", "nothing.pem"]).contains("create one with `ssr cache key FILE`")
    );
    for entry in node.entries() {
        let mut damaged = fs::read(&entry).unwrap();
        damaged[100] ^= 1;
        fs::write(&entry, damaged).unwrap();
    }
    says(&[], "its checksum is wrong");
}

#[test]
fn a_key_is_created_once_and_only_its_owner_can_read_it() {
    let node = Node::new();
    let line = node.key("key.pem");
    assert!(line.starts_with("trusted-keys = [\"") && line.ends_with("=\"]\n"), "{line}");
    let metadata = fs::metadata(node.path("key.pem")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(node.key("key.pem"), line);
    assert_ne!(node.key("other.pem"), line);
    fs::write(node.path("text"), "text").unwrap();
    assert!(node.refuses(&["key", "text"]).contains("'text': it is not an unencrypted Ed25519 private key"));
    assert_eq!(fs::read_to_string(node.path("text")).unwrap(), "text");
}

#[test]
fn the_former_name_of_a_flag_is_refused_with_the_new_one() {
    let node = with_module();
    for flag in ["--render-memory=64MiB", "--render-memory"] {
        let said = node.refuses(&["add", "ssr.wasm", flag]);
        assert_eq!(said, "ssr: --render-memory was renamed; use --render-memory-limit instead\n");
    }
    assert!(node.entries().is_empty());
    node.does(&["add", "--target", "arm", "--render-memory-limit", "64MiB", "ssr.wasm"]);
    let (table, _) = node.does(&["list"]);
    assert!(table.contains("arm (SSR_RENDER_MEMORY_LIMIT=67108864)"), "{table}");
}
