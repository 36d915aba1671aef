//! Everything that can be configured. The environment variables of a container, the flags
//! of `ssr serve` and the table in docs/settings.md all come from one table here.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::LevelFilter;
use ssr_wasi::Network;
use ssr_wasm::limits::Limits;

use crate::container_memory;

pub use self::table::{RENAMED, TABLE};
pub use self::trusted_proxies::TrustedProxies;
pub use self::values::{GuestForm, Immutable};

mod table;
mod trusted_proxies;
mod values;

/// How a site is served. Made by [`Settings::from_env`] and [`Settings::set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Limits of renders.
    pub limits: Limits,
    /// Largest request body, in bytes.
    pub max_body_size: usize,
    /// Largest request head, in bytes.
    pub max_header_size: usize,
    /// Longest time for a request's head to arrive, from its first byte or from the start
    /// of the connection.
    pub header_timeout: Duration,
    /// Longest time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Longest time for a connection to stay open without a request.
    pub idle_timeout: Duration,
    /// Longest time for which a client may accept nothing of its response.
    pub write_timeout: Duration,
    /// Most concurrent connections.
    pub max_connections: usize,
    /// How long requests are accepted after SIGTERM.
    pub drain_delay: Duration,
    /// Longest time for in-flight requests after that.
    pub grace_period: Duration,
    /// Which assets never change.
    pub immutable: Immutable,
    /// Whose `X-Forwarded-Proto` is believed.
    pub trusted_proxies: TrustedProxies,
    /// What answers requests.
    pub guest: GuestForm,
    /// Whom modules other than sites may talk to.
    pub network: Network,
    /// Most memory of a command, in bytes.
    pub memory_limit: Option<usize>,
    /// What is logged.
    pub log_level: LevelFilter,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag of `ssr serve`, without the dashes.
    pub flag: &'static str,
    /// The default, as a person would write it; or in words, if it depends on the machine.
    pub default: &'static str,
    /// The values that are accepted.
    pub accepts: &'static str,
    /// What the setting does.
    pub help: &'static str,
    set: fn(&mut Settings, &str) -> Option<()>,
}

/// A setting of an earlier version.
#[derive(Debug)]
pub struct Renamed {
    /// Its environment variable.
    pub variable: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// The flags that replace it, without the dashes.
    pub replacements: &'static [&'static str],
}

impl Renamed {
    /// The error for somebody who used its flag.
    pub fn flag_error(&self) -> SettingError {
        let new = self.replacements.iter().map(|flag| format!("--{flag}")).collect::<Vec<_>>().join(", ");
        SettingError::Renamed { old: format!("--{}", self.flag), new }
    }

    fn variable_error(&self) -> SettingError {
        let new = self.replacements.iter().map(|flag| variable_of(flag)).collect::<Vec<_>>().join(", ");
        SettingError::Renamed { old: self.variable.to_owned(), new }
    }
}

/// A setting that is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingError {
    /// The value is invalid.
    #[error("{name}: invalid value '{value}'; expected {accepts}")]
    Invalid {
        /// The environment variable or flag.
        name: String,
        /// The value.
        value: String,
        /// What would have been accepted.
        accepts: &'static str,
    },
    /// The setting has another name in this version.
    #[error("{old} was renamed; use {new} instead")]
    Renamed {
        /// The environment variable or flag.
        old: String,
        /// Those that replace it.
        new: String,
    },
}

/// The environment variable of a flag.
fn variable_of(flag: &str) -> String {
    format!("SSR_{}", flag.to_uppercase().replace('-', "_"))
}

/// Where the shims for Spin and for wasmtime listen, in images that were made for them. The last
/// one that is set counts.
const OTHER_RUNTIMES_LISTEN: [&str; 2] = ["SPIN_HTTP_LISTEN_ADDR", "WASMTIME_HTTP_PROXY_SOCKET_ADDR"];

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            limits: Limits::default(),
            max_body_size: 1 << 20,
            max_header_size: 32 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: default_connections(container_memory::limit()),
            drain_delay: Duration::ZERO,
            grace_period: Duration::from_secs(8),
            immutable: Immutable::ByName,
            trusted_proxies: TrustedProxies::default(),
            guest: GuestForm::Auto,
            network: Network::default(),
            memory_limit: None,
            log_level: LevelFilter::Info,
            access_log: false,
        }
    }
}

/// As many connections as a quarter of the container's memory can carry.
fn default_connections(memory: Option<u64>) -> usize {
    /// What a connection needs at worst, in bytes: one that does not read the asset it has
    /// asked for. Measured with a thousand of them: 114 KiB each.
    const WORST: u64 = 128 << 10;
    const MOST: usize = 1024;
    const FEWEST: usize = 64;
    let carried = memory.and_then(|memory| usize::try_from(memory / 4 / WORST).ok());
    carried.unwrap_or(MOST).clamp(FEWEST, MOST)
}

impl Settings {
    /// Changes one setting. `name` is the variable or flag that the person used.
    pub fn set(&mut self, setting: &Setting, name: &str, value: &str) -> Result<(), SettingError> {
        (setting.set)(self, value.trim()).ok_or_else(|| SettingError::Invalid {
            name: name.to_owned(),
            value: value.to_owned(),
            accepts: setting.accepts,
        })
    }

    /// The settings of an environment. An empty value counts as unset.
    pub fn from_env(env: &[(String, String)]) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        let value_of = |name: &str| {
            let found = env.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        if let Some(renamed) = RENAMED.iter().find(|renamed| value_of(renamed.variable).is_some()) {
            return Err(renamed.variable_error());
        }
        let invalid = |name: &str, value: &str, accepts| SettingError::Invalid {
            name: name.to_owned(),
            value: value.to_owned(),
            accepts,
        };
        for name in OTHER_RUNTIMES_LISTEN {
            if let Some(address) = value_of(name) {
                let error = |_| invalid(name, address, "an address and port, such as [::]:8080");
                settings.listen = address.trim().parse().map_err(error)?;
            }
        }
        if let Some(port) = value_of("PORT") {
            let error = |_| invalid("PORT", port, "a port, a whole number from 0 to 65535");
            settings.listen.set_port(port.trim().parse().map_err(error)?);
        }
        for setting in TABLE {
            if let Some(value) = value_of(setting.variable) {
                settings.set(setting, setting.variable, value)?;
            }
        }
        Ok(settings)
    }
}

impl Settings {
    /// The settings of a module that runs once. Variables of other names are the program's, a
    /// PORT for example, and so is standard error: unless more is asked for, the log has only
    /// what goes wrong.
    pub fn for_command(env: &[(String, String)]) -> Result<Self, SettingError> {
        let own: Vec<_> = env.iter().filter(|(name, _)| name.starts_with("SSR_")).cloned().collect();
        let settings = Self::from_env(&own)?;
        let chosen = own.iter().any(|(name, value)| name == "SSR_LOG_LEVEL" && !value.is_empty());
        Ok(Self { log_level: if chosen { settings.log_level } else { LevelFilter::Warn }, ..settings })
    }
}

/// Variables that look like settings but are not, and so are probably misspelled. Those
/// that Kubernetes adds for a service named `ssr` do not count.
pub fn unknown_variables(env: &[(String, String)]) -> Vec<&str> {
    let from_kubernetes = |name: &str| {
        name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name == "SSR_PORT"
            || name.contains("_PORT_")
            || name.ends_with("_PORT")
    };
    env.iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("SSR_") && !from_kubernetes(name))
        .filter(|name| TABLE.iter().all(|setting| setting.variable != *name))
        .collect()
}

/// The table as Markdown, for docs/settings.md.
pub fn markdown() -> String {
    let mut text =
        String::from("| variable | flag | default | what it does | accepted |\n|---|---|---|---|---|\n");
    for setting in TABLE {
        let Setting { variable, flag, default, accepts, help, .. } = setting;
        let default = if setting.default_is_value() { format!("`{default}`") } else { (*default).to_owned() };
        text.push_str(&format!("| `{variable}` | `--{flag}` | {default} | {help} | {accepts} |\n"));
    }
    text
}

#[cfg(test)]
mod tests;
