//! The configuration of the tests' containerd.

use std::fs;
use std::path::Path;

use crate::under_test;

/// For `ctr`, in the format that every containerd since 1.6 reads.
pub(super) fn for_ctr(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs"]

[grpc]
  address = "{dir}/containerd.sock"
"#
    )
}

/// For CRI, in the format of containerd 2: a bridge network for pods, and `ssr` as a
/// runtime handler.
pub(super) fn for_cri(dir: &Path) -> String {
    let cni = dir.join("cni");
    fs::create_dir(&cni).expect("a directory");
    fs::write(cni.join("10-bridge.conflist"), CNI).expect("a configuration file");
    let dir = dir.display();
    format!(
        r#"version = 3
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri"]

[grpc]
  address = "{dir}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
  # In many containers and virtual machines root lacks CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.ssr]
  runtime_type = "io.containerd.ssr.v1"

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{cni}"
"#,
        cni = cni.display()
    )
}

/// For CRI, with our runtime as another path of runc's type.
pub(super) fn for_cri_by_path(dir: &Path) -> String {
    let shim = under_test::binaries().join("containerd-shim-ssr-v1");
    let by_path =
        format!("runtime_type = \"io.containerd.runc.v2\"\n  runtime_path = \"{}\"", shim.display());
    for_cri(dir).replace("runtime_type = \"io.containerd.ssr.v1\"", &by_path)
}

/// For CRI, with the cgroup driver that is k3s's default.
pub(super) fn for_cri_with_systemd(dir: &Path) -> String {
    let runtime = "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.ssr.options]";
    format!("{}\n{runtime}\n  SystemdCgroup = true\n", for_cri(dir))
}

/// The image of the container that holds a pod's namespaces. It is the tests' Linux
/// image, whose default command only sleeps.
pub(super) const PAUSE: &str = "docker.io/library/pause:latest";

const CNI: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "promiscMode": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/16" }]],
                "routes": [{ "dst": "0.0.0.0/0" }], "dataDir": "/run/cni-networks" }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
"#;
