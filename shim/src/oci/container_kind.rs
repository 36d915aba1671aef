//! What kind of container a configuration asks for. It is decided before the container is
//! made, because each kind is made by another program.

use std::fs::File;
use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;

use super::container_files::ContainerFiles;
use super::entrypoint::{Entrypoint, Files as _, Unusable};

/// CRI's annotation of a container's part in its pod.
const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

/// Where Docker mounts the program of `--init`.
const DOCKER_INIT: &str = "/sbin/docker-init";

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// Holds a pod's namespaces: runs our own pause process, whatever its image has.
    Sandbox,
    /// Runs a module, or a command of this binary.
    Site,
    /// Runs Linux programs: the node's OCI runtime makes it.
    Linux,
}

impl ContainerKind {
    /// The kind of a container that has these files.
    ///
    /// # Errors
    /// If there is nothing to execute.
    pub fn of(spec: &Spec, files: &ContainerFiles) -> Result<Self, Unusable> {
        if is_sandbox(spec) {
            return Ok(Self::Sandbox);
        }
        let args = arguments(spec);
        match Entrypoint::find(args, path_variable(spec), files)? {
            Entrypoint::Module(_) | Entrypoint::BuiltIn(_) => Ok(Self::Site),
            Entrypoint::Program(program) => {
                if let ([_, separator, command @ ..], true) = (args, program == Path::new(DOCKER_INIT))
                    && separator == "--"
                    && let Ok(Entrypoint::Module(_)) = Entrypoint::find(command, path_variable(spec), files)
                {
                    return Err(Unusable::Other(format!(
                        "'{}' is a WebAssembly module, which needs no other init process: run it without --init (in \
                         Compose, without 'init: true')",
                        command[0]
                    )));
                }
                Ok(Self::Linux)
            }
        }
    }
}

/// What a site's container runs, open for reading, if it is a module.
pub fn module_of(spec: &Spec, files: &ContainerFiles) -> Option<File> {
    let Ok(Entrypoint::Module(module)) = Entrypoint::find(arguments(spec), path_variable(spec), files) else {
        return None;
    };
    files.open(Path::new(ssr_server::split_function(&module[0]).0)).ok()
}

fn is_sandbox(spec: &Spec) -> bool {
    let annotations = spec.annotations().as_ref();
    annotations.and_then(|annotations| annotations.get(CONTAINER_TYPE)).is_some_and(|kind| kind == "sandbox")
}

/// The container's arguments, the first of which names what it runs.
pub fn arguments(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default()
}

/// The container's environment, `NAME=value` each.
pub fn environment_of(spec: &Spec) -> impl DoubleEndedIterator<Item = &str> {
    let env = spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default();
    env.iter().map(String::as_str)
}

/// The container's PATH.
pub fn path_variable(spec: &Spec) -> Option<&str> {
    environment_of(spec).rev().find_map(|variable| variable.strip_prefix("PATH="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn kind(args: &[&str], annotations: &str) -> Result<ContainerKind, String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sbin")).unwrap();
        for (name, bytes) in
            [("site", &b"\0asm"[..]), ("sbin/docker-init", b"\x7fELF"), ("sbin/program", b"#!/x")]
        {
            fs::write(root.path().join(name), bytes).unwrap();
            fs::set_permissions(root.path().join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let args = serde_json::to_string(args).unwrap();
        let config = format!(
            r#"{{"ociVersion":"1.0.2","annotations":{annotations},
                "process":{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":{args},"env":["PATH=/sbin"]}}}}"#
        );
        let spec = serde_json::from_str(&config).unwrap();
        let files = ContainerFiles::new(&spec, root.path()).unwrap();
        ContainerKind::of(&spec, &files).map_err(|error| error.to_string())
    }

    #[test]
    fn the_kind_follows_from_the_entrypoints_bytes() {
        assert_eq!(kind(&["/site", "/dist"], "{}"), Ok(ContainerKind::Site));
        assert_eq!(kind(&["ssr", "health"], "{}"), Ok(ContainerKind::Site));
        assert_eq!(kind(&["program"], "{}"), Ok(ContainerKind::Linux));
        assert!(kind(&["nothing"], "{}").unwrap_err().contains("'nothing'"));
    }

    #[test]
    fn a_pods_sandbox_is_one_whatever_its_image_runs() {
        for args in [&["/pause"][..], &["program"], &[]] {
            let sandbox = r#"{"io.kubernetes.cri.container-type":"sandbox"}"#;
            assert_eq!(kind(args, sandbox), Ok(ContainerKind::Sandbox), "{args:?}");
        }
        let container = r#"{"io.kubernetes.cri.container-type":"container"}"#;
        assert_eq!(kind(&["program"], container), Ok(ContainerKind::Linux));
    }

    #[test]
    fn a_site_behind_dockers_init_is_refused_with_advice() {
        let error = kind(&["/sbin/docker-init", "--", "/site", "/dist"], "{}").unwrap_err();
        assert!(error.contains("'/site'") && error.contains("without --init"), "{error}");
        assert_eq!(kind(&["/sbin/docker-init", "--", "program"], "{}"), Ok(ContainerKind::Linux));
    }
}
