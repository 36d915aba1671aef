//! A root filesystem whose files belong to the users of a user namespace (a pod with
//! `hostUsers: false`, `ctr run --remap-labels`).

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};
use containerd_shim::mount::mount_rootfs;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};

use super::owners::Owners;
use super::tree::{Depth, attach, detached, map};

/// Where it is prepared, below the root's place.
const PREPARED: &str = "prepared";

/// An overlay's option that lists its lower layers.
const LOWER: &str = "lowerdir=";

/// Mounts it at `root`. The kernel maps the owners of an overlay's layers, not those of the
/// overlay; the upper layer has the mapped ones already, by containerd.
pub fn mount(kind: &str, source: &str, options: Vec<String>, owners: &Owners, root: &Path) -> Result<()> {
    let namespace = owners.namespace().context("cannot make a user namespace")?;
    // On a thread with a mount namespace of its own: whatever is mounted on the way goes
    // with it, even if the helper is killed.
    let prepared = thread::scope(|scope| {
        let prepare = || prepare(kind, source, options, &namespace, root);
        scope.spawn(prepare).join().map_err(|_| anyhow!("the preparation panicked"))?
    })?;
    attach(&prepared, root)
}

fn prepare(
    kind: &str,
    source: &str,
    options: Vec<String>,
    namespace: &OwnedFd,
    root: &Path,
) -> Result<OwnedFd> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).context("cannot make a mount namespace")?;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    nix::mount::mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::empty(), none)?;
    // Short paths: the kernel takes a page of options.
    nix::unistd::chdir(root)?;
    fs::create_dir(PREPARED)?;
    if kind != "overlay" {
        let depth = Depth::of_bind(&options);
        mount_rootfs(Some(kind), Some(source), &options, PREPARED)?;
        let tree = detached(Path::new(PREPARED), depth)?;
        map(&tree, depth, namespace)?;
        return Ok(tree);
    }
    let mut mapped = Vec::new();
    for option in options {
        let Some(layers) = option.strip_prefix(LOWER) else {
            mapped.push(option);
            continue;
        };
        let mut names = Vec::new();
        for layer in layers_of(layers) {
            let name = names.len().to_string();
            fs::create_dir(&name)?;
            let tree = detached(&layer, Depth::Top)?;
            map(&tree, Depth::Top, namespace).with_context(|| format!("the layer '{}'", layer.display()))?;
            attach(&tree, Path::new(&name))?;
            names.push(name);
        }
        mapped.push(format!("{LOWER}{}", names.join(":")));
    }
    mount_rootfs(Some(kind), Some(source), &mapped, PREPARED)?;
    detached(Path::new(PREPARED), Depth::Top)
}

/// The directories in an overlay's list, where a colon or backslash in a name has a
/// backslash before it.
fn layers_of(list: &str) -> Vec<PathBuf> {
    let mut layers = vec![String::new()];
    let mut escaped = false;
    for character in list.chars() {
        match (character, layers.last_mut()) {
            ('\\', _) if !escaped => {
                escaped = true;
                continue;
            }
            (':', _) if !escaped => layers.push(String::new()),
            (_, Some(layer)) => layer.push(character),
            (_, None) => {}
        }
        escaped = false;
    }
    layers.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlays_layers_are_separated_by_colons_that_nothing_escapes() {
        assert_eq!(layers_of("/a:/b"), [Path::new("/a"), Path::new("/b")]);
        assert_eq!(
            layers_of(r"/with\:colon:/and\\backslash"),
            [Path::new("/with:colon"), Path::new(r"/and\backslash")]
        );
    }
}
