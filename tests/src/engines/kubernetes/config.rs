//! The files that a node's processes are started with.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::config::PAUSE;
use crate::shell;

/// The node's address, in a network namespace of its own.
pub(super) const ADDRESS: &str = "10.90.0.1";

/// Where containerd listens, in a mount namespace of its own.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Writes everything that `node.sh` expects in the node's directory.
pub(super) fn write(dir: &Path, cgroup: &str) {
    let shown = dir.display();
    let file = |name: &str, text: String| fs::write(dir.join(name), text).expect("a configuration file");
    fs::create_dir(dir.join("cni")).expect("a directory");
    file("tokens.csv", "admin,admin,admin,system:masters\n".to_owned());
    file("kubeconfig", kubeconfig());
    file("kubelet.yaml", kubelet(cgroup));
    file("proxy.yaml", proxy(&dir.join("kubeconfig")));
    file("containerd.toml", containerd(dir));
    file("cni/10-bridge.conflist", CNI.to_owned());
    let key = format!("{shown}/accounts.key");
    shell::run(Command::new("openssl").args(["genrsa", "-out", &key, "2048"])).success();
}

fn kubeconfig() -> String {
    format!(
        r#"apiVersion: v1
kind: Config
clusters: [{{name: node, cluster: {{server: "https://{ADDRESS}:6443", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: admin}}}}]
contexts: [{{name: node, context: {{cluster: node, user: admin}}}}]
current-context: node
"#
    )
}

fn kubelet(cgroup: &str) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
# In many containers and virtual machines root lacks CAP_SYS_RESOURCE.
oomScoreAdj: 0
failSwapOn: false
resolvConf: ""
# The machine is not the node's own: how full it is, is nobody's fault.
evictionHard: {{memory.available: "50Mi"}}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
"#
    )
}

fn proxy(kubeconfig: &Path) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {}}}
mode: iptables
hostnameOverride: node
clusterCIDR: 10.92.0.0/16
# These are the machine's settings, not the network namespace's.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
oomScoreAdj: 0
"#,
        kubeconfig.display()
    )
}

/// With the tables of `k8s/config.toml.tmpl` for the runtime under test.
fn containerd(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

[grpc]
  # Where kubelet looks for what it knows of networks, too.
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # As for kubelet.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ssr]
  runtime_type = "io.containerd.ssr.v1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{dir}/cni"
"#
    )
}

const CNI: &str = r#"{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "promiscMode": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.92.0.0/16" }]],
                "routes": [{ "dst": "0.0.0.0/0" }] }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
"#;
