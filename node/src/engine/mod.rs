//! The container engines that a node can have, and where each keeps its files.

pub mod processes;
pub mod restart;
pub mod version;

use std::path::{Path, PathBuf};

use crate::files::root::Root;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// containerd as a service of its own, which kubeadm's clusters use, too.
    Containerd,
    /// Docker.
    Docker,
    /// k3s, server or agent.
    K3s,
    /// RKE2, server or agent.
    Rke2,
    /// microk8s.
    Microk8s,
}

/// containerd's main configuration.
pub const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";

/// Docker's configuration.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// From which microk8s makes containerd's configuration.
pub const MICROK8S_TEMPLATE: &str = "/var/snap/microk8s/current/args/containerd-template.toml";

/// The PATH of services under systemd.
const SERVICE_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Engine {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Containerd, Self::Docker, Self::K3s, Self::Rke2, Self::Microk8s];

    /// The name, as `--engine` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Docker => "docker",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::Microk8s => "microk8s",
        }
    }

    /// The engine of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// Those that are installed.
    pub fn installed(root: &Root) -> Vec<Self> {
        Self::ALL.into_iter().filter(|engine| engine.is_installed(root)).collect()
    }

    fn is_installed(self, root: &Root) -> bool {
        let own: &[&str] = match self {
            Self::Containerd => &[CONTAINERD_CONFIG],
            Self::Docker => &[DAEMON_JSON],
            Self::K3s => &["/var/lib/rancher/k3s/agent/etc/containerd"],
            Self::Rke2 => &["/var/lib/rancher/rke2/agent/etc/containerd"],
            Self::Microk8s => &[MICROK8S_TEMPLATE],
        };
        own.iter().any(|path| root.has(path)) || self.program(root).is_some()
    }

    /// The program that tells its version.
    pub fn program(self, root: &Root) -> Option<PathBuf> {
        let in_path = |name: &str| {
            let places = SERVICE_PATH.iter().map(|directory| Path::new(directory).join(name));
            places.into_iter().find(|path| root.has(path))
        };
        match self {
            Self::Containerd => in_path("containerd"),
            Self::Docker => in_path("dockerd"),
            Self::K3s => in_path("k3s"),
            Self::Rke2 => in_path("rke2"),
            Self::Microk8s => Some("/snap/bin/microk8s".into()).filter(|path: &PathBuf| root.has(path)),
        }
    }

    /// The containerd that it runs: the first of these that is there.
    pub fn containerd(self, root: &Root) -> Option<PathBuf> {
        let places: &[&str] = match self {
            Self::Containerd | Self::Docker => return Self::Containerd.program(root),
            Self::K3s => &["/var/lib/rancher/k3s/data/current/bin/containerd"],
            Self::Rke2 => &["/var/lib/rancher/rke2/bin/containerd"],
            Self::Microk8s => &["/snap/microk8s/current/bin/containerd"],
        };
        places.iter().map(PathBuf::from).find(|path| root.has(path))
    }

    /// Where k3s and RKE2 keep containerd's configuration.
    pub fn generated_directory(self) -> Option<&'static str> {
        match self {
            Self::K3s => Some("/var/lib/rancher/k3s/agent/etc/containerd"),
            Self::Rke2 => Some("/var/lib/rancher/rke2/agent/etc/containerd"),
            Self::Containerd | Self::Docker | Self::Microk8s => None,
        }
    }

    /// The services of which one runs it.
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Self::Containerd => &["containerd"],
            Self::Docker => &["docker"],
            Self::K3s => &["k3s", "k3s-agent"],
            Self::Rke2 => &["rke2-server", "rke2-agent"],
            Self::Microk8s => &["snap.microk8s.daemon-containerd"],
        }
    }

    /// The configuration that its containerd reads at its start.
    pub fn containerd_config(self) -> &'static str {
        match self {
            Self::Containerd | Self::Docker => CONTAINERD_CONFIG,
            Self::K3s => "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
            Self::Rke2 => "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
            Self::Microk8s => "/var/snap/microk8s/current/args/containerd.toml",
        }
    }

    /// Where images and containers are kept.
    pub fn data_directory(self) -> &'static str {
        match self {
            Self::Containerd => "/var/lib/containerd",
            Self::Docker => "/var/lib/docker",
            Self::K3s => "/var/lib/rancher/k3s/agent/containerd",
            Self::Rke2 => "/var/lib/rancher/rke2/agent/containerd",
            Self::Microk8s => "/var/snap/microk8s/common/var/lib/containerd",
        }
    }

    /// Where its containerd looks for shims, if it does not run.
    pub fn search_path(self, root: &Root) -> Vec<PathBuf> {
        let mut path: Vec<PathBuf> = SERVICE_PATH.iter().map(PathBuf::from).collect();
        match self {
            Self::Containerd | Self::Docker => {}
            Self::K3s => path.insert(0, "/var/lib/rancher/k3s/data/current/bin".into()),
            Self::Rke2 => path.insert(0, "/var/lib/rancher/rke2/bin".into()),
            Self::Microk8s => {
                path.splice(
                    0..0,
                    ["/snap/microk8s/current/usr/bin".into(), "/snap/microk8s/current/bin".into()],
                );
            }
        }
        path.retain(|directory| root.has(directory));
        path
    }
}
