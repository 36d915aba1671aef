//! What a bundle's configuration says of its container.

use std::path::Path;

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};

/// Reads a bundle's config.json.
pub fn load(bundle: &Path) -> Result<Spec> {
    let file = bundle.join("config.json");
    Spec::load(&file).with_context(|| format!("cannot read '{}'", file.display()))
}

/// Whether the container's processes have numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pids {
    /// A new namespace: the kernel ends all its processes with the first.
    Own,
    /// Another container's namespace.
    Joined,
    /// The node's.
    Host,
}

impl Pids {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_numbers_are_the_containers_own_anothers_or_the_nodes() {
        for (namespaces, pids) in [
            (r#"[{"type":"pid"}]"#, Pids::Own),
            (r#"[{"type":"mount"},{"type":"pid","path":"/proc/7/ns/pid"}]"#, Pids::Joined),
            (r#"[{"type":"mount"}]"#, Pids::Host),
        ] {
            let bundle = tempfile::tempdir().unwrap();
            let config = format!(r#"{{"ociVersion":"1.0.2","linux":{{"namespaces":{namespaces}}}}}"#);
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            assert_eq!(Pids::of(&load(bundle.path()).unwrap()), pids);
        }
        assert!(format!("{:#}", load(Path::new("/none")).unwrap_err()).contains("/none/config.json"));
    }
}
