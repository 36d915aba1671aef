//! The manifests in `k8s/`, as the newest kubectl renders them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_norway::Value;

use crate::{shell, under_test};

/// What `kubectl apply -k` is given, below the repository: the base, and all overlays.
pub const KUSTOMIZATIONS: [&str; 5] = [
    "k8s",
    "k8s/overlays/k3s",
    "k8s/overlays/pi-zero",
    "k8s/overlays/installer",
    "k8s/overlays/runtime-class-manager",
];

/// Those of them that have a site.
pub const SITES: [&str; 4] =
    ["k8s", "k8s/overlays/k3s", "k8s/overlays/pi-zero", "k8s/overlays/runtime-class-manager"];

/// Objects of a cluster.
pub struct Manifests {
    /// As a stream of YAML documents.
    pub text: String,
    /// The same, parsed.
    pub objects: Vec<Value>,
}

impl Manifests {
    /// Renders a kustomization, which is below the repository.
    pub fn render(kustomization: &str) -> Self {
        Self::render_below(&under_test::repository(), kustomization)
    }

    /// Renders a kustomization of another copy of the repository's `k8s/`.
    pub fn render_below(directory: &Path, kustomization: &str) -> Self {
        let mut render = Command::new(tool("kubectl"));
        render.arg("kustomize").arg(directory.join(kustomization));
        Self::parse(shell::run(&mut render).success().stdout)
    }

    /// Reads documents as kubectl writes them.
    pub fn parse(text: String) -> Self {
        let parse = |document| {
            serde_norway::from_str(document).unwrap_or_else(|error| panic!("{error}:\n{document}"))
        };
        let objects = text.split("\n---\n").map(parse).collect();
        Self { text, objects }
    }

    /// The only object of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        let mut of_kind = self.objects.iter().filter(|object| object["kind"] == kind);
        let found = of_kind.next().unwrap_or_else(|| panic!("no {kind}:\n{}", self.text));
        assert!(of_kind.next().is_none(), "there are several objects of kind {kind}:\n{}", self.text);
        found
    }

    /// The site's pod, as its Deployment makes it.
    pub fn site_pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]
    }
}

/// A tool that `scripts/setup.sh manifests` installs.
pub fn tool(name: &str) -> PathBuf {
    let script = under_test::repository().join(format!("scripts/{name}.sh"));
    let path = shell::run(&mut Command::new(script)).success().stdout;
    PathBuf::from(path.trim_end())
}
