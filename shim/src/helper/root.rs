//! The root filesystem's mounts.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use containerd_shim::mount;
use libcontainer::oci_spec::runtime::Spec;
use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::command::RootMount;

/// The directory in a bundle where the root filesystem is mounted.
pub const ROOT: &str = "rootfs";

pub fn mount_root(bundle: &Path, mounts: &[RootMount]) -> Result<()> {
    let root = bundle.join(ROOT);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create '{}'", root.display()))?;
    for RootMount { kind, source, options } in mounts {
        // containerd's own options, which the kernel would only call invalid.
        let mapped = |option: &&String| option.starts_with("uidmap=") || option.starts_with("gidmap=");
        if let Some(option) = options.iter().find(mapped) {
            bail!(
                "the root filesystem is to be mapped into a user namespace ('{option}'), which this runtime cannot do: \
                 run the pod with hostUsers: true, or let containerd change the owners of its files"
            );
        }
        mount::mount_rootfs(Some(kind), Some(source), options, &root)
            .with_context(|| format!("cannot mount {kind} '{source}' as the root filesystem"))?;
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

pub fn unmount_root(bundle: &Path) -> Result<()> {
    let root = bundle.join(ROOT);
    mount::umount_recursive(root.to_str(), libc::MNT_DETACH)
        .with_context(|| format!("cannot unmount '{}'", root.display()))
}
