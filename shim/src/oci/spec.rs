//! What a bundle's config.json says about its container.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Mount, MountBuilder, Spec};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Reads a bundle's config.json.
pub fn load(bundle: &Path) -> Result<Spec> {
    let file = bundle.join("config.json");
    Spec::load(&file).with_context(|| format!("cannot read '{}'", file.display()))
}

/// The PID namespace of the container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidNamespace {
    /// A new one: the kernel kills its processes with the first.
    Own,
    /// Another container's.
    Joined,
    /// The node's.
    Host,
}

impl PidNamespace {
    /// The one that the configuration asks for.
    pub fn of(spec: &Spec) -> Self {
        let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        let mut all = namespaces.unwrap_or_default().iter();
        match all.find(|namespace| namespace.typ() == LinuxNamespaceType::Pid) {
            None => Self::Host,
            Some(namespace) if namespace.path().is_some() => Self::Joined,
            Some(_) => Self::Own,
        }
    }
}

/// The path that the first argument names in the container.
fn entrypoint(spec: &Spec) -> Option<PathBuf> {
    let process = spec.process().as_ref()?;
    let command = process.args().as_ref()?.first().filter(|command| !command.is_empty())?;
    Some(Path::new("/").join(process.cwd()).join(command))
}

/// Whether the first argument's file is in the root filesystem at `root`, or may be in
/// something that is mounted there. A name without a slash may be a program in any
/// directory of PATH, unless it is a module's.
pub fn has_entrypoint(spec: &Spec, root: &Path) -> bool {
    let Some(path) = entrypoint(spec) else { return true };
    let mounted = spec.mounts().iter().flatten().any(|mount| path.starts_with(mount.destination()));
    let process = spec.process().as_ref();
    let command = process.and_then(|process| process.args().as_ref()?.first());
    let bare = command.is_some_and(|command| !command.contains('/'))
        && path.extension().is_none_or(|extension| extension != "wasm");
    mounted || bare || exists_below(root, &path)
}

/// Whether there is such a file. Links are followed, but not out of `root`.
fn exists_below(root: &Path, path: &Path) -> bool {
    let Ok(root) = File::open(root) else { return true };
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(root.as_raw_fd(), path, how) {
        Ok(file) => {
            // SAFETY: the kernel has just opened it for this process.
            drop(unsafe { OwnedFd::from_raw_fd(file) });
            true
        }
        // openat2 needs Linux 5.6. Without it, a missing file is noticed later.
        Err(error) => !matches!(error, Errno::ENOENT | Errno::ENOTDIR),
    }
}

/// A mount of `file` at the first argument's path.
pub fn file_at_entrypoint(spec: &Spec, file: &Path) -> Result<Mount> {
    let path = entrypoint(spec).context("the image has no entrypoint")?;
    let options = ["bind", "ro", "nosuid", "nodev"].map(str::to_owned);
    let mount = MountBuilder::default().destination(path).source(file).typ("bind").options(options);
    mount.build().context("the module's mount")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_namespace_is_the_containers_own_anothers_or_the_nodes() {
        for (namespaces, expected) in [
            (r#"[{"type":"pid"}]"#, PidNamespace::Own),
            (r#"[{"type":"mount"},{"type":"pid","path":"/proc/7/ns/pid"}]"#, PidNamespace::Joined),
            (r#"[{"type":"mount"}]"#, PidNamespace::Host),
        ] {
            let bundle = tempfile::tempdir().unwrap();
            let config = format!(r#"{{"ociVersion":"1.0.2","linux":{{"namespaces":{namespaces}}}}}"#);
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            assert_eq!(PidNamespace::of(&load(bundle.path()).unwrap()), expected);
        }
        assert!(format!("{:#}", load(Path::new("/none")).unwrap_err()).contains("/none/config.json"));
    }
}
