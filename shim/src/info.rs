//! What this binary tells of itself (`-info`): its version, and what the runtime can do, as
//! the features structure of the OCI runtime specification (features.md) has it. That is what
//! both a site's container and a Linux one honour.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use libcontainer::syscall::linux::MountOption;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::oci::options::RuntimeOptions;
use crate::runc;

/// This binary's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the structure is called in containerd's API.
const TYPE_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Where the answer of the node's OCI runtime is kept until the next boot: newer versions of
/// containerd ask before each container.
const KEPT: &str = "/run/containerd-shim-ssr/runc-features.json";

/// The newest version of the specification that libcontainer 0.7 follows.
const NEWEST: &str = "1.2.1";

/// Options of mounts that a site's container refuses, or that have no effect in it.
const NOT_OF_SITES: [&str; 4] = ["shared", "rshared", "dev", "rdev"];

/// Options that apply to all mounts below one, too.
const RECURSIVE: [&str; 16] = [
    "rro",
    "rrw",
    "rnosuid",
    "rsuid",
    "rnodev",
    "rnoexec",
    "rexec",
    "rnodiratime",
    "rdiratime",
    "rrelatime",
    "rnorelatime",
    "rnoatime",
    "ratime",
    "rstrictatime",
    "rnostrictatime",
    "rnosymfollow",
];

/// The answer of an OCI runtime, and of which file it is.
#[derive(Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    identity: (u64, u64, i64, i64),
    features: Value,
}

/// Answers containerd 2 and Docker 29, which ask before they start anything. `input` holds the
/// runtime's options, if there are any.
pub fn info(name: &str, input: &[u8]) -> Result<RuntimeInfo> {
    let options = Any::parse_from_bytes(input).ok().filter(|any| !any.type_url.is_empty());
    let options = RuntimeOptions::read(options.as_ref())?;
    let features = match features(options.of_runc().binary.as_deref()) {
        Value::Null => None,
        features => Some(Any {
            type_url: TYPE_URL.to_owned(),
            value: serde_json::to_vec(&features)?,
            ..Any::default()
        }),
    };
    let version = RuntimeVersion { version: VERSION.to_owned(), ..RuntimeVersion::default() };
    Ok(RuntimeInfo {
        name: name.to_owned(),
        version: MessageField::some(version),
        features: features.into(),
        ..RuntimeInfo::default()
    })
}

/// The features, as JSON. `binary` is what the option `BinaryName` names.
fn features(binary: Option<&Path>) -> Value {
    let own = of_sites();
    let Some(runtime) = runc::runtime(binary) else { return own };
    match of_runtime(&runtime) {
        Ok(features) => both(&own, &features).unwrap_or_default(),
        Err(error) => {
            log::warn!("'{}' does not tell its features: {error:#}", runtime.display());
            Value::Null
        }
    }
}

fn of_sites() -> Value {
    let mut options = MountOption::known_options();
    options.extend(RECURSIVE.map(str::to_owned));
    options.retain(|option| !NOT_OF_SITES.contains(&option.as_str()));
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": NEWEST,
        "hooks": ["prestart", "createRuntime", "poststart", "poststop"],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                ],
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } },
        },
    })
}

fn of_runtime(runtime: &Path) -> Result<Value> {
    let metadata = runtime.metadata().with_context(|| runtime.display().to_string())?;
    let identity = (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    let kept = fs::read(KEPT).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.path == runtime && kept.identity == identity) {
        return Ok(kept.features);
    }
    let output = Command::new(runtime).arg("features").output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let features: Value = serde_json::from_slice(&output.stdout).context("its answer is not JSON")?;
    let kept = Kept { path: runtime.to_owned(), identity, features };
    if let Err(error) = keep(&kept) {
        log::debug!("cannot keep the features of '{}': {error:#}", runtime.display());
    }
    Ok(kept.features)
}

fn keep(kept: &Kept) -> Result<()> {
    let partial = format!("{KEPT}.{}", std::process::id());
    fs::create_dir_all(Path::new(KEPT).parent().unwrap_or(Path::new("/")))?;
    fs::write(&partial, serde_json::to_vec(kept)?)?;
    Ok(fs::rename(partial, KEPT)?)
}

/// What two structures have in common; `None` if nothing. The first one's text stands, except
/// for versions, of which the older one does.
fn both(one: &Value, other: &Value) -> Option<Value> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let common = |(name, value): (&String, &Value)| {
                let value = match (name.as_str(), value, other.get(name)?) {
                    ("ociVersionMax", Value::String(one), Value::String(other)) => {
                        Value::from(one.min(other).as_str())
                    }
                    (_, one, other) => both(one, other)?,
                };
                Some((name.clone(), value))
            };
            Some(Value::Object(one.iter().filter_map(common).collect()))
        }
        (Value::Array(one), Value::Array(other)) => {
            Some(one.iter().filter(|value| other.contains(value)).cloned().collect())
        }
        (Value::Bool(one), Value::Bool(other)) => Some(Value::Bool(*one && *other)),
        (Value::String(_), Value::String(_)) => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_of_the_runtimes_can_do_is_not_told() {
        let old = json!({
            "ociVersionMin": "1.0.0",
            "ociVersionMax": "1.0.2-dev",
            "hooks": ["prestart", "startContainer"],
            "mountOptions": ["ro", "rshared"],
            "linux": { "cgroup": { "v1": true, "v2": false }, "apparmor": { "enabled": true } },
            "annotations": { "org.opencontainers.runc.version": "1.1.5" },
        });
        let expected = json!({
            "ociVersionMin": "1.0.0",
            "ociVersionMax": "1.0.2-dev",
            "hooks": ["prestart"],
            "mountOptions": ["ro"],
            "linux": { "cgroup": { "v1": true, "v2": false }, "apparmor": { "enabled": true } },
        });
        assert_eq!(both(&of_sites(), &old), Some(expected));
    }

    #[test]
    fn each_mount_option_that_is_told_is_one_of_libcontainers() {
        let sites = of_sites();
        let options = sites["mountOptions"].as_array().unwrap();
        for option in options.iter().map(|option| option.as_str().unwrap()) {
            let known = option.parse::<MountOption>().is_ok()
                || option.parse::<libcontainer::syscall::linux::MountRecursive>().is_ok();
            assert!(known, "{option}");
        }
    }
}
