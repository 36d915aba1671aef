//! The text of our runtime in containerd's configuration.

use std::fmt::Write as _;

use crate::config::facts::{IMAGES_PLUGIN, LOCAL_PULL, Names, RUNTIME, RUNTIME_TYPE, RuntimeFacts};

/// What k3s puts in for the cgroup driver it uses.
const TEMPLATE_SYSTEMD_CGROUP: &str = "{{ .SystemdCgroup }}";

/// The tables of our runtime, with the settings of the one beside it.
pub fn runtime(names: Names, beside: &RuntimeFacts) -> String {
    let systemd = if beside.systemd_cgroup == Some(true) { "true" } else { "false" };
    tables(names, beside, systemd)
}

/// The same, for a template of k3s.
pub fn runtime_in_template(names: Names) -> String {
    tables(names, &RuntimeFacts::default(), TEMPLATE_SYSTEMD_CGROUP)
}

fn tables(names: Names, beside: &RuntimeFacts, systemd_cgroup: &str) -> String {
    let table = format!("plugins.{}.containerd.runtimes.{RUNTIME}", names.runtimes());
    let mut text = format!("[{table}]\n  runtime_type = \"{RUNTIME_TYPE}\"\n");
    // Writing to a string cannot fail.
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
    format!("[{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n")
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
