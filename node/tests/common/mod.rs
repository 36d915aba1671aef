//! A node that is a tree of files.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ssr_node::engine::Engine;
use ssr_node::engine::version::Version;
use ssr_node::error::NodeError;
use ssr_node::files::root::Root;
use ssr_node::install::{self, Options, Outcome};

pub struct Node {
    pub directory: tempfile::TempDir,
    pub options: Options,
}

/// The text of a file in `engines`.
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Node {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("var/lib")).unwrap();
        let options = Options { root: Root::new(directory.path()), ..Options::default() };
        Self { directory, options }
    }

    pub fn with(mut self, engine: Engine, version: (u32, u32, u32)) -> Self {
        self.options.engines.push(engine);
        self.options.versions.push((engine, Version(version.0, version.1, version.2)));
        self
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.options.root.at(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn install(&self) -> Vec<Outcome> {
        install::install(&self.options).unwrap()
    }

    pub fn install_fails(&self) -> NodeError {
        let before = self.tree();
        let error = install::install(&self.options).unwrap_err();
        assert_eq!(self.tree(), before, "{error}");
        error
    }

    pub fn remove(&self) -> Vec<Outcome> {
        install::remove(&self.options).unwrap()
    }

    /// Every file, link and directory, with modes and contents.
    pub fn tree(&self) -> BTreeMap<PathBuf, (u32, String)> {
        fn walk(directory: &Path, tree: &mut BTreeMap<PathBuf, (u32, String)>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let content = if metadata.is_dir() {
                    walk(&path, tree);
                    String::new()
                } else if metadata.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
                };
                tree.insert(path, (metadata.permissions().mode(), content));
            }
        }
        let mut tree = BTreeMap::new();
        walk(self.directory.path(), &mut tree);
        tree
    }

    /// Installs, twice, and removes; the tree is as before. Returns what the first
    /// installation did, and the text of `path` after it.
    pub fn round_trip(&self, path: &str) -> (Vec<Outcome>, String) {
        let before = self.tree();
        let outcomes = self.install();
        let text = self.read(path);
        let after = self.tree();
        for outcome in self.install() {
            assert!(outcome.changed.is_empty(), "{outcome:?}");
        }
        assert_eq!(self.tree(), after);
        self.remove();
        assert_eq!(self.tree(), before);
        (outcomes, text)
    }
}
