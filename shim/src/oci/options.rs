//! The runtime options that containerd passes when it creates a container.

use anyhow::{Context, Result};
use containerd_shim::api::Options;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{CodedInputStream, Message};
use serde::Deserialize;

/// The options of runc's shim (`ctr --runc-systemd-cgroup`, Docker).
const RUNC: &str = "containerd.runc.v1.Options";
/// What CRI passes for runtimes it does not know: a part of its config.toml.
const GENERIC: &str = "runtimeoptions.v1.Options";

/// The options that this runtime has.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RuntimeOptions {
    /// Whether systemd manages the container's cgroup.
    #[serde(rename = "SystemdCgroup")]
    pub systemd_cgroup: bool,
}

impl RuntimeOptions {
    /// Parses the options of a request. Absent and unknown ones are the defaults.
    ///
    /// # Errors
    /// If options of a known type cannot be parsed.
    pub fn read(options: Option<&Any>) -> Result<Self> {
        let Some(any) = options else { return Ok(Self::default()) };
        match any.type_url.rsplit('/').next() {
            Some(RUNC) => {
                let options = Options::parse_from_bytes(&any.value)
                    .with_context(|| format!("the runtime options are not a valid {RUNC}"))?;
                Ok(Self { systemd_cgroup: options.systemd_cgroup })
            }
            Some(GENERIC) => {
                let body = config_body(&any.value)
                    .with_context(|| format!("the runtime options are not a valid {GENERIC}"))?;
                toml::from_str(&body).context("invalid runtime options in containerd's config.toml")
            }
            _ => Ok(Self::default()),
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
        assert_eq!(RuntimeOptions::read(Some(&any)).unwrap(), RuntimeOptions { systemd_cgroup: true });
    }

    #[test]
    fn options_of_containerds_config_are_parsed() {
        let body = "SystemdCgroup = true\nBinaryName = \"\"\n";
        let mut value = vec![0x0a, 1, b'x', 0x1a, body.len() as u8];
        value.extend(body.as_bytes());
        let any = any("runtimeoptions.v1.Options", value);
        assert!(RuntimeOptions::read(Some(&any)).unwrap().systemd_cgroup);
    }

    #[test]
    fn no_options_are_the_defaults_and_malformed_ones_an_error() {
        assert_eq!(RuntimeOptions::read(None).unwrap(), RuntimeOptions::default());
        assert_eq!(RuntimeOptions::read(Some(&any("other", vec![1]))).unwrap(), RuntimeOptions::default());
        assert!(RuntimeOptions::read(Some(&any(RUNC, vec![0xff]))).is_err());
        assert!(RuntimeOptions::read(Some(&any(GENERIC, vec![0x1a, 200]))).is_err());
    }
}
