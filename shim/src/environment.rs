//! What the shim adds to the environment that containerd gives it.

use std::path::Path;

use anyhow::{Context, Result};

/// Variables that name the directory for temporary files. The crate `runc` looks at both.
pub const TEMPORARY: [&str; 2] = ["TMPDIR", "XDG_RUNTIME_DIR"];

/// Of a shim whose first container has this bundle. Temporary files of a shim that is killed
/// are removed with the bundle.
pub fn of_shim(bundle: &Path) -> Result<Vec<(&'static str, &str)>> {
    let bundle = bundle.to_str().context("the bundle's path is not UTF-8")?;
    Ok(TEMPORARY.into_iter().map(|name| (name, bundle)).collect())
}
