//! What the shim adds to the environment that containerd gives it.

use std::path::Path;

use anyhow::{Context, Result};

/// Variables that name the directory for temporary files. The crate `runc` looks at both.
const TEMPORARY: [&str; 2] = ["TMPDIR", "XDG_RUNTIME_DIR"];

/// The variable by which libcgroups finds the bus.
const BUS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// No bus: libcgroups 0.7 then asks systemd itself.
const NO_BUS: &str = "unix:path=/run/systemd/no-bus";

/// Where systemd answers root without a bus.
const SYSTEMD: &str = "/run/systemd/private";

/// Of a shim whose first container has this bundle. Temporary files of a shim that is killed
/// are removed with the bundle.
pub fn of_shim(bundle: &Path) -> Result<Vec<(&'static str, &str)>> {
    let bundle = bundle.to_str().context("the bundle's path is not UTF-8")?;
    Ok(TEMPORARY.into_iter().map(|name| (name, bundle)).chain(to_systemd()).collect())
}

/// Lets libcgroups ask systemd for a container's scope without the bus, which may be slow or
/// stopped: it would wait for the bus ten seconds, seven times for each question. Whoever has
/// set the bus's address is obeyed.
pub fn to_systemd() -> Option<(&'static str, &'static str)> {
    let direct = std::env::var_os(BUS).is_none() && Path::new(SYSTEMD).exists();
    direct.then_some((BUS, NO_BUS))
}

/// The variables of [`of_shim`] that programs of the node must not get from the shim.
pub fn not_of_node() -> impl Iterator<Item = &'static str> {
    let bus = std::env::var_os(BUS).is_some_and(|address| address == NO_BUS).then_some(BUS);
    TEMPORARY.into_iter().chain(bus)
}
