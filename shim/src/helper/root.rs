//! The root filesystem's mounts.

use std::path::Path;

use anyhow::{Context, Result};
use containerd_shim::mount;

use super::command::RootMount;

/// The directory in a bundle where the root filesystem is mounted.
pub const ROOT: &str = "rootfs";

pub fn mount_root(bundle: &Path, mounts: &[RootMount]) -> Result<()> {
    let root = bundle.join(ROOT);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create '{}'", root.display()))?;
    for RootMount { kind, source, options } in mounts {
        mount::mount_rootfs(Some(kind), Some(source), options, &root)
            .with_context(|| format!("cannot mount {kind} '{source}' as the root filesystem"))?;
    }
    Ok(())
}

pub fn unmount_root(bundle: &Path) -> Result<()> {
    let root = bundle.join(ROOT);
    mount::umount_recursive(root.to_str(), libc::MNT_DETACH)
        .with_context(|| format!("cannot unmount '{}'", root.display()))
}
