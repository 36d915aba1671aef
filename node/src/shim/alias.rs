//! `--alias`: a link to the shim, of a name that k3s looks for when it starts. k3s adds a
//! runtime for each of them to containerd's configuration, without any template.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::error::{Context as _, NodeError};
use crate::files::root::Root;
use crate::shim::{self, SHIM};

/// The names that k3s knows, and the files that it looks for.
pub const ALIASES: [(&str, &str); 7] = [
    ("wasmtime", "containerd-shim-wasmtime-v1"),
    ("wasmedge", "containerd-shim-wasmedge-v1"),
    ("wasmer", "containerd-shim-wasmer-v1"),
    ("wws", "containerd-shim-wws-v1"),
    ("spin", "containerd-shim-spin-v2"),
    ("slight", "containerd-shim-slight-v1"),
    ("lunatic", "containerd-shim-lunatic-v1"),
];

/// The link of an alias: `Ok(None)` if it is there already.
fn place(root: &Root, name: &str, file: &str) -> Result<Option<PathBuf>, NodeError> {
    let directories = shim::search_path(root, Engine::K3s);
    for directory in &directories {
        let path = directory.join(file);
        if shim::is_link_to_shim(root, &path) {
            return Ok(None);
        }
        // A link to nothing is somebody's, too.
        if root.at(&path).symlink_metadata().is_ok() {
            return Err(NodeError::AliasTaken { name: name.to_owned(), path });
        }
    }
    let there = shim::find(root, &directories, SHIM)
        .ok_or_else(|| NodeError::NoShim { name: name.to_owned(), searched: shim::shown(&directories) })?;
    Ok(Some(there.with_file_name(file)))
}

/// Lays the link beside the shim. Returns where it is, or would be with `dry_run`; `None` if
/// it was there.
pub fn install(root: &Root, name: &str, dry_run: bool) -> Result<Option<PathBuf>, NodeError> {
    let file = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, file)| file);
    let Some(path) = place(root, name, file)? else { return Ok(None) };
    if !dry_run {
        symlink(SHIM, root.at(&path)).context("create", &path)?;
    }
    Ok(Some(path))
}

/// The links that there are.
pub fn installed(root: &Root) -> Vec<PathBuf> {
    let directories = shim::search_path(root, Engine::K3s);
    let places = directories.iter().flat_map(|directory| ALIASES.map(|(_, file)| directory.join(file)));
    let mut links: Vec<PathBuf> = places.filter(|path| shim::is_link_to_shim(root, path)).collect();
    // The same directory may be there by two names.
    links.dedup_by_key(|path| root.resolve(path.parent().unwrap_or(Path::new("/"))).ok());
    links
}

/// Removes the links. Returns where they were.
pub fn remove(root: &Root, dry_run: bool) -> Result<Vec<PathBuf>, NodeError> {
    let links = installed(root);
    if !dry_run {
        for link in &links {
            std::fs::remove_file(root.at(link))
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
                .context("remove", link)?;
        }
    }
    Ok(links)
}
