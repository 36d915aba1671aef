//! Where containerd finds shims.

pub mod alias;

use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::engine::processes::Process;
use crate::files::root::Root;

/// The shim's file.
pub const SHIM: &str = "containerd-shim-ssr-v1";

/// The directories in which an engine's containerd looks for shims: the PATH that it was
/// started with, or else the usual one.
pub fn search_path(root: &Root, engine: Engine) -> Vec<PathBuf> {
    let running = Process::of_containerd(root, engine).and_then(|process| process.variable("PATH"));
    match running {
        Some(path) => std::env::split_paths(&path).collect(),
        None => engine.search_path(root),
    }
}

/// The first file of a name in directories.
pub fn find(root: &Root, directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join(name)).find(|path| root.has(path))
}

/// Directories as they are written in a PATH.
pub fn shown(directories: &[PathBuf]) -> String {
    let names: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
    names.join(":")
}

/// Whether the path is a link to the shim.
pub fn is_link_to_shim(root: &Root, path: &Path) -> bool {
    let target = std::fs::read_link(root.at(path));
    target.is_ok_and(|target| target.file_name().is_some_and(|name| name == SHIM))
}
