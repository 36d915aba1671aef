//! A Vite build's own list of its files (`build.manifest`).

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};
use std::path::Path;

use super::directory::Directory;

/// Where it is, below the directory of assets.
const MANIFEST: &str = ".vite/manifest.json";

/// Most bytes of a manifest.
const MAX_MANIFEST: u64 = 16 << 20;

/// The files that a Vite build's manifest lists, by their paths in a URL without the base. None
/// if there is no manifest.
pub fn listed(directory: &Directory) -> HashSet<String> {
    let Ok((file, _)) = directory.open_file(Path::new(MANIFEST)) else { return HashSet::new() };
    let manifest: Result<HashMap<String, ManifestEntry>, _> =
        serde_json::from_reader(io::BufReader::new(file.take(MAX_MANIFEST)));
    match manifest {
        Ok(entries) => entries
            .into_values()
            .flat_map(|entry| entry.file.into_iter().chain(entry.css).chain(entry.assets))
            .map(|file| format!("/{file}"))
            .collect(),
        Err(error) => {
            log::warn!("assets: {MANIFEST} is not a manifest of Vite's: {error}");
            HashSet::new()
        }
    }
}

/// What a manifest says of one source file.
#[derive(serde::Deserialize)]
struct ManifestEntry {
    file: Option<String>,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    assets: Vec<String>,
}
