//! The text of our runtime in containerd's configuration.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::facts::{
    IMAGES_PLUGIN, LOCAL_PULL, Names, RUNC_TYPE, RUNTIME, RUNTIME_TYPE, RuntimeFacts,
};

/// What k3s puts in for the cgroup driver it uses.
const TEMPLATE_SYSTEMD_CGROUP: &str = "{{ .SystemdCgroup }}";

/// The tables of our runtime, with the settings of the one beside it. With the shim's path,
/// it is of runc's type: containerd 2 tells a kubelet of no other type what the runtime can
/// do, and the kubelet then refuses users of their own and recursively read-only volumes.
pub fn runtime(names: Names, beside: &RuntimeFacts, shim: Option<&Path>) -> String {
    let systemd = if beside.systemd_cgroup == Some(true) { "true" } else { "false" };
    tables(names, beside, shim, systemd)
}

/// The same, for a template of k3s.
pub fn runtime_in_template(names: Names, shim: Option<&Path>) -> String {
    tables(names, &RuntimeFacts::default(), shim, TEMPLATE_SYSTEMD_CGROUP)
}

fn tables(names: Names, beside: &RuntimeFacts, shim: Option<&Path>, systemd_cgroup: &str) -> String {
    let table = format!("plugins.{}.containerd.runtimes.{RUNTIME}", names.runtimes());
    let kind = if shim.is_some() { RUNC_TYPE } else { RUNTIME_TYPE };
    let mut text = format!("[{table}]\n  runtime_type = \"{kind}\"\n");
    // Writing to a string cannot fail.
    if let Some(shim) = shim {
        let _ = writeln!(text, "  runtime_path = {}", quoted(&shim.to_string_lossy()));
    }
    if let Some(snapshotter) = &beside.snapshotter {
        let _ = writeln!(text, "  snapshotter = {}", quoted(snapshotter));
    }
    let _ = writeln!(text, "[{table}.options]\n  SystemdCgroup = {systemd_cgroup}");
    if let Some(binary) = &beside.binary {
        let _ = writeln!(text, "  BinaryName = {}", quoted(binary));
    }
    text
}

/// The runtime that containerd has by default. containerd 1 has it only as long as its file
/// names no other.
pub fn default_runtime(names: Names) -> String {
    let table = format!("plugins.{}.containerd.runtimes.runc", names.runtimes());
    format!("[{table}]\n  runtime_type = \"{RUNC_TYPE}\"\n")
}

/// The table that lets CRI pull images itself: the transfer service does not unpack images
/// of another platform than the machine's.
pub fn local_pull() -> String {
    format!("[plugins.'{IMAGES_PLUGIN}']\n  {LOCAL_PULL} = true\n")
}

/// A TOML string: the escapes of JSON are TOML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
