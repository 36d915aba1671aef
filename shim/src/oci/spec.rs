//! What a bundle's config.json says about its container.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Spec};

/// Reads a bundle's config.json.
pub fn load(bundle: &Path) -> Result<Spec> {
    let file = bundle.join("config.json");
    Spec::load(&file).with_context(|| format!("cannot read '{}'", file.display()))
}

/// Where the container's root filesystem is.
pub fn root(spec: &Spec, bundle: &Path) -> Result<PathBuf> {
    let root = spec.root().as_ref().context("the configuration names no root filesystem")?;
    Ok(bundle.join(root.path()))
}

/// Whether a mount shows a file or directory of the node's.
pub fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
}

/// The namespace of a kind that the container gets; `None` if it has the node's.
pub fn namespace(spec: &Spec, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    let namespaces = spec.linux().as_ref()?.namespaces().as_deref()?;
    namespaces.iter().find(|namespace| namespace.typ() == kind)
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
        match namespace(spec, LinuxNamespaceType::Pid) {
            None => Self::Host,
            Some(namespace) if namespace.path().is_some() => Self::Joined,
            Some(_) => Self::Own,
        }
    }
}

/// The path that the first argument names in the container.
pub fn entrypoint(spec: &Spec) -> Option<PathBuf> {
    let process = spec.process().as_ref()?;
    let command = process.args().as_ref()?.first().filter(|command| !command.is_empty())?;
    Some(Path::new("/").join(process.cwd()).join(command))
}

/// Whether the first argument is the path of a file, or the name of a module: a module may
/// be a layer of the image instead. Any other name is a program in a directory of PATH.
pub fn names_module(spec: &Spec) -> bool {
    let Some(path) = entrypoint(spec) else { return false };
    let process = spec.process().as_ref();
    let command = process.and_then(|process| process.args().as_ref()?.first());
    command.is_some_and(|command| command.contains('/'))
        || path.extension().is_some_and(|extension| extension == "wasm")
}

/// Whether a mount is to receive the mounts that the node makes in it later.
pub fn receives(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "slave" || option == "rslave")
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
