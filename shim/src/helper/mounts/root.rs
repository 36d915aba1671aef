//! The root filesystem's mounts.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use containerd_shim::mount;
use libcontainer::oci_spec::runtime::Spec;
use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::mapped_root;
use super::owners::Owners;
use crate::helper::command::RootMount;

/// The directory in a bundle where the root filesystem is mounted.
pub const ROOT: &str = "rootfs";

/// The directory in a bundle where volumes are mounted whose files get other owners.
pub const VOLUMES: &str = "volumes";

pub fn mount_root(bundle: &Path, mounts: &[RootMount]) -> Result<()> {
    let root = bundle.join(ROOT);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create '{}'", root.display()))?;
    for RootMount { kind, source, options } in mounts {
        ensure!(
            !kind.contains('/'),
            "cannot mount {kind} '{source}' as the root filesystem: containerd's mount manager does this for runtimes \
             that do not say they can, and this one does not"
        );
        let mut options = options.clone();
        let mounted = match Owners::take_from(&mut options)? {
            Some(owners) => mapped_root::mount(kind, source, options, &owners, &root),
            None => {
                mount::mount_rootfs(Some(kind), Some(source), &options, &root).map_err(anyhow::Error::from)
            }
        };
        mounted.with_context(|| format!("cannot mount {kind} '{source}' as the root filesystem"))?;
    }
    Ok(())
}

/// Makes the image's device nodes and set-user-id programs ineffective: a site needs none,
/// and could serve the node's disk as an asset.
///
/// The root is the bundle's, or one that its configuration names elsewhere, as Docker's does:
/// that is then mounted into the bundle, and the configuration names that place.
pub fn restrict_root(bundle: &Path, root: &Path, spec: &mut Spec) -> Result<()> {
    let none = None::<&str>;
    let of_bundle = bundle.join(ROOT);
    if !same_file(root, &of_bundle) {
        nix::mount::mount(Some(root), &of_bundle, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .with_context(|| format!("cannot mount '{}' at '{}'", root.display(), of_bundle.display()))?;
        let mut changed = spec.root().clone().unwrap_or_default();
        changed.set_path(of_bundle.clone());
        spec.set_root(Some(changed));
    }
    let describe = || format!("cannot remount '{}' without devices", of_bundle.display());
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    // The others stay as they are. Those for access times the kernel keeps by itself where a
    // remount names none of them.
    let present = statvfs(&of_bundle).with_context(describe)?.flags();
    for (of_mount, flag) in
        [(FsFlags::ST_RDONLY, MsFlags::MS_RDONLY), (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC)]
    {
        if present.contains(of_mount) {
            flags |= flag;
        }
    }
    nix::mount::mount(none, &of_bundle, none, flags, none).with_context(describe)
}

fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Unmounts all that the helper has mounted in a bundle.
pub fn unmount_all(bundle: &Path) -> Result<()> {
    for directory in [ROOT, VOLUMES] {
        let directory = bundle.join(directory);
        mount::umount_recursive(directory.to_str(), libc::MNT_DETACH)
            .with_context(|| format!("cannot unmount '{}'", directory.display()))?;
    }
    Ok(())
}
