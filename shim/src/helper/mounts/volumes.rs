//! Volumes that libcontainer 0.7 could not mount as they are asked for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use nix::mount::MsFlags;

use super::owners::Owners;
use super::root::{ROOT, VOLUMES};
use super::tree::{Depth, attach, detached, make_private, map};
use crate::oci::spec::{is_bind, namespace, receives};

/// Mounts these in the bundle, and lets the configuration name them there:
///
/// - volumes whose files get other owners, which libcontainer ignores;
/// - all, if the container has users of its own (a pod with `hostUsers: false`): the
///   directories above may be closed to those, as kubelet's are;
/// - those that are private, if another one receives the node's later mounts: libcontainer has
///   one propagation for all.
pub fn prepare(bundle: &Path, spec: &mut Spec) -> Result<()> {
    let linux = spec.linux().as_ref();
    let own_users = namespace(spec, LinuxNamespaceType::User).is_some();
    let of_container = Owners {
        uids: linux.and_then(|linux| linux.uid_mappings().clone()).unwrap_or_default(),
        gids: linux.and_then(|linux| linux.gid_mappings().clone()).unwrap_or_default(),
    };
    let one_receives = linux.is_some_and(|linux| linux.rootfs_propagation().as_deref() == Some("slave"));
    if one_receives {
        let (none, root) = (None::<&str>, bundle.join(ROOT));
        nix::mount::mount(none, &root, none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)
            .context("cannot make the root filesystem private")?;
    }
    let Some(mut mounts) = spec.mounts().clone() else { return Ok(()) };
    for (mount, number) in mounts.iter_mut().zip(0u32..) {
        let owners = take_owners(mount, &of_container);
        let private = one_receives && !receives(mount);
        if owners.is_none() && !(is_bind(mount) && (own_users || private)) {
            continue;
        }
        let destination = mount.destination().display();
        ensure!(
            is_bind(mount),
            "cannot map the owners of the files at '{destination}': it is not a bind mount"
        );
        let prepared = prepare_one(bundle, mount, number, owners, private);
        let prepared = prepared.with_context(|| format!("cannot prepare the volume at '{destination}'"))?;
        mount.set_source(Some(prepared));
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// The owners that a mount's files are to have, and at which depth: its own, or with an option
/// alone the container's.
fn take_owners(mount: &mut Mount, of_container: &Owners) -> Option<(Owners, Depth)> {
    let mut options = mount.options().clone().unwrap_or_default();
    let all = options.iter().any(|option| option == "ridmap");
    let asked = all || options.iter().any(|option| option == "idmap");
    options.retain(|option| option != "idmap" && option != "ridmap");
    let own = Owners {
        uids: mount.uid_mappings().clone().unwrap_or_default(),
        gids: mount.gid_mappings().clone().unwrap_or_default(),
    };
    mount.set_options(Some(options)).set_uid_mappings(None).set_gid_mappings(None);
    let owners = match own == Owners::default() {
        false => own,
        true if asked => of_container.clone(),
        true => return None,
    };
    Some((owners, if all { Depth::All } else { Depth::Top }))
}

fn prepare_one(
    bundle: &Path,
    mount: &Mount,
    number: u32,
    owners: Option<(Owners, Depth)>,
    private: bool,
) -> Result<PathBuf> {
    let Some(source) = mount.source() else { bail!("it has no source") };
    let place = bundle.join(VOLUMES).join(number.to_string());
    let tree = detached(source, Depth::of_bind(mount.options().as_deref().unwrap_or_default()))?;
    if let Some((owners, depth)) = owners {
        map(&tree, depth, &owners.namespace()?)?;
    }
    if private {
        make_private(&tree)?;
    }
    match source.is_dir() {
        true => fs::create_dir_all(&place)?,
        false => {
            fs::create_dir_all(bundle.join(VOLUMES))?;
            File::create(&place).map(drop)?;
        }
    }
    attach(&tree, &place)?;
    Ok(place)
}
