//! The runtime options that containerd passes when it creates a container.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use containerd_shim::api::Options;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{CodedInputStream, Message};
use serde::{Deserialize, Serialize};

use crate::runc::RuncOptions;

/// The file in a bundle that they are kept in.
const FILE: &str = "runtime-options.json";

/// The options of runc's shim (`ctr --runc-systemd-cgroup`, Docker).
const RUNC: &str = "containerd.runc.v1.Options";
/// What CRI passes for runtimes it does not know: a part of its config.toml.
const GENERIC: &str = "runtimeoptions.v1.Options";

/// The options that this runtime has: those of runc's shim, by the same names.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct RuntimeOptions {
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
    /// The OCI runtime for Linux containers; empty for the node's `runc` or `crun`.
    pub binary_name: String,
    /// Where that runtime keeps its state; empty for the bundle.
    pub root: String,
    /// Whether a container's root is changed without `pivot_root`.
    pub no_pivot_root: bool,
    /// Whether a Linux container shares the session keyring of its creator. A site never
    /// gets one of its own.
    pub no_new_keyring: bool,
    /// The user and group that the FIFOs of a process's output belong to.
    pub io_uid: u32,
    pub io_gid: u32,
    /// Not supported.
    shim_cgroup: String,
    /// Used by checkpoints only, which are not supported.
    criu_image_path: String,
    criu_path: String,
    criu_work_path: String,
}

impl RuntimeOptions {
    /// Parses the options of a request. Absent ones are the defaults.
    ///
    /// # Errors
    /// If options of a known type cannot be parsed, or one is not supported.
    pub fn read(options: Option<&Any>) -> Result<Self> {
        let Some(any) = options else { return Ok(Self::default()) };
        let options = match any.type_url.rsplit('/').next() {
            Some(RUNC) => {
                let options = Options::parse_from_bytes(&any.value)
                    .with_context(|| format!("the runtime options are not a valid {RUNC}"))?;
                Self::from(options)
            }
            Some(GENERIC) => {
                let body = config_body(&any.value)
                    .with_context(|| format!("the runtime options are not a valid {GENERIC}"))?;
                toml::from_str(&body).context("invalid runtime options in containerd's config.toml")?
            }
            _ => Self::default(),
        };
        ensure!(
            options.shim_cgroup.is_empty(),
            "the runtime option ShimCgroup ('{}') is not supported: the shim stays in containerd's cgroup",
            options.shim_cgroup
        );
        Ok(options)
    }

    /// Keeps them in a bundle, for whoever deletes the container after its shim has died.
    /// They are there as a whole or, if the disk is full, not at all.
    pub fn save(&self, bundle: &Path) -> Result<()> {
        let file = bundle.join(FILE);
        let partial = file.with_extension("partial");
        std::fs::write(&partial, serde_json::to_vec(self)?)
            .and_then(|()| std::fs::rename(&partial, &file))
            .with_context(|| format!("cannot write '{}'", file.display()))
    }

    /// Those that were kept in a bundle; the defaults if none were.
    pub fn of_bundle(bundle: &Path) -> Result<Self> {
        let file = bundle.join(FILE);
        let cannot_read = || format!("cannot read '{}'", file.display());
        match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(cannot_read),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(cannot_read),
        }
    }

    /// How the OCI runtime for Linux containers is called.
    pub fn of_runc(&self) -> RuncOptions {
        let path = |text: &String| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        RuncOptions {
            binary: path(&self.binary_name),
            root: path(&self.root),
            systemd_cgroup: self.systemd_cgroup,
            no_pivot_root: self.no_pivot_root,
            no_new_keyring: self.no_new_keyring,
        }
    }
}

impl From<Options> for RuntimeOptions {
    fn from(options: Options) -> Self {
        Self {
            systemd_cgroup: options.systemd_cgroup,
            binary_name: options.binary_name,
            root: options.root,
            no_pivot_root: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
            io_uid: options.io_uid,
            io_gid: options.io_gid,
            shim_cgroup: options.shim_cgroup,
            ..Self::default()
        }
    }
}

/// Field 3, `config_body`, of a message that no crate here defines.
fn config_body(bytes: &[u8]) -> Result<String> {
    const CONFIG_BODY: u32 = 3;
    const LENGTH_DELIMITED: u32 = 2;
    let mut input = CodedInputStream::from_bytes(bytes);
    let mut body = String::new();
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        if tag >> 3 == CONFIG_BODY && tag & 7 == LENGTH_DELIMITED {
            body = String::from_utf8(input.read_bytes()?)?;
        } else {
            anyhow::ensure!(tag & 7 == LENGTH_DELIMITED, "field {} has an unexpected type", tag >> 3);
            input.read_bytes()?;
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any { type_url: type_url.to_owned(), value, ..Any::default() }
    }

    #[test]
    fn runc_options_are_parsed() {
        let options = Options { systemd_cgroup: true, ..Options::default() };
        let any = any(RUNC, options.write_to_bytes().unwrap());
        let expected = RuntimeOptions { systemd_cgroup: true, ..RuntimeOptions::default() };
        assert_eq!(RuntimeOptions::read(Some(&any)).unwrap(), expected);
    }

    /// What CRI passes for this table of containerd's config.toml.
    fn of_config(body: &str) -> Result<RuntimeOptions> {
        let mut value = vec![0x0a, 1, b'x', 0x1a, u8::try_from(body.len()).unwrap()];
        value.extend(body.as_bytes());
        RuntimeOptions::read(Some(&any("runtimeoptions.v1.Options", value)))
    }

    #[test]
    fn options_of_containerds_config_are_parsed() {
        let options = of_config("SystemdCgroup = true\nBinaryName = \"crun\"\nRoot = \"\"\n").unwrap();
        assert!(options.systemd_cgroup);
        assert_eq!(options.of_runc().binary, Some(PathBuf::from("crun")));
        assert_eq!(options.of_runc().root, None);
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_name() {
        let error = of_config("ShimCgroup = \"/shims\"\n").unwrap_err().to_string();
        assert!(error.contains("ShimCgroup ('/shims')"), "{error}");
        let error = format!("{:#}", of_config("SystemdCgruop = true\n").unwrap_err());
        assert!(error.contains("SystemdCgruop"), "{error}");
        let options = Options { shim_cgroup: "/shims".to_owned(), ..Options::default() };
        assert!(RuntimeOptions::read(Some(&any(RUNC, options.write_to_bytes().unwrap()))).is_err());
    }

    #[test]
    fn no_options_are_the_defaults_and_malformed_ones_an_error() {
        assert_eq!(RuntimeOptions::read(None).unwrap(), RuntimeOptions::default());
        assert_eq!(RuntimeOptions::read(Some(&any("other", vec![1]))).unwrap(), RuntimeOptions::default());
        assert!(RuntimeOptions::read(Some(&any(RUNC, vec![0xff]))).is_err());
        assert!(RuntimeOptions::read(Some(&any(GENERIC, vec![0x1a, 200]))).is_err());
    }
}
