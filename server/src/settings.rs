//! Everything that can be configured: one table, from which come the
//! environment variables of a container, the flags of `ssr serve` and the table
//! in docs/settings.md.

use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;

/// How a site is served. Made by [`Settings::from_env`] or [`Settings::set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Renders at the same time; as many threads and memories are kept.
    pub render_threads: usize,
    /// The longest that one render may take.
    pub render_timeout: Duration,
    /// The most linear memory that one render may use, in bytes.
    pub render_memory: usize,
    /// Requests that may wait for a render; one more is answered 503.
    pub render_queue: usize,
    /// The longest that a request may wait for a render to begin.
    pub queue_timeout: Duration,
    /// The most bytes that a request's body may have.
    pub request_body: usize,
    /// The longest that a client may take to send a request's head, or its body,
    /// or leave a kept-alive connection unused.
    pub client_timeout: Duration,
    /// Connections at the same time; further ones wait to be accepted.
    pub connections: usize,
    /// After SIGTERM, how long requests in flight may take.
    pub grace_period: Duration,
    /// The path prefix under which every file's name changes with its content.
    pub immutable: String,
    /// What is written to the log.
    pub log: LevelFilter,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag of `ssr serve`, without the dashes.
    pub flag: &'static str,
    /// The default, as a person would write it; empty for "as many as the machine has cores".
    pub default: &'static str,
    /// What values are accepted.
    pub accepts: &'static str,
    /// What it does.
    pub help: &'static str,
    set: fn(&mut Settings, &str) -> Option<()>,
}

/// A value that was not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name}: '{value}' is not accepted; it takes {accepts}")]
pub struct SettingError {
    /// The environment variable or flag.
    pub name: String,
    /// The value.
    pub value: String,
    /// What would have been accepted.
    pub accepts: &'static str,
}

const DURATION: &str = "a time longer than zero, such as 500ms, 10s or 2m";
const SIZE: &str = "a size in bytes, such as 65536, 512KiB or 64MiB";
const COUNT: &str = "a whole number from 1";

/// All settings.
pub static TABLE: &[Setting] = &[
    Setting {
        variable: "SSR_LISTEN",
        flag: "listen",
        default: "0.0.0.0:8080",
        accepts: "an address and port, such as 0.0.0.0:8080, [::]:80 or 127.0.0.1:3000",
        help: "Address to listen on. Without it, PORT gives the port on all addresses",
        set: |s, v| v.parse().ok().map(|v| s.listen = v),
    },
    Setting {
        variable: "SSR_RENDER_THREADS",
        flag: "render-threads",
        default: "",
        accepts: COUNT,
        help: "Renders at the same time",
        set: |s, v| count(v).map(|v| s.render_threads = v),
    },
    Setting {
        variable: "SSR_RENDER_TIMEOUT",
        flag: "render-timeout",
        default: "10s",
        accepts: DURATION,
        help: "Longest time for one render; a longer one is answered 504",
        set: |s, v| duration(v).map(|v| s.render_timeout = v),
    },
    Setting {
        variable: "SSR_RENDER_MEMORY",
        flag: "render-memory",
        default: "128MiB",
        accepts: SIZE,
        help: "Most memory for one render; one that needs more is answered 500",
        set: |s, v| size(v).map(|v| s.render_memory = v),
    },
    Setting {
        variable: "SSR_RENDER_QUEUE",
        flag: "render-queue",
        default: "64",
        accepts: COUNT,
        help: "Requests that may wait for a render; further ones are answered 503",
        set: |s, v| count(v).map(|v| s.render_queue = v),
    },
    Setting {
        variable: "SSR_QUEUE_TIMEOUT",
        flag: "queue-timeout",
        default: "10s",
        accepts: DURATION,
        help: "Longest wait for a render to begin; after it the answer is 503",
        set: |s, v| duration(v).map(|v| s.queue_timeout = v),
    },
    Setting {
        variable: "SSR_REQUEST_BODY",
        flag: "request-body",
        default: "1MiB",
        accepts: SIZE,
        help: "Largest request body; a larger one is answered 413",
        set: |s, v| size(v).map(|v| s.request_body = v),
    },
    Setting {
        variable: "SSR_CLIENT_TIMEOUT",
        flag: "client-timeout",
        default: "30s",
        accepts: DURATION,
        help: "Longest time for a client to send a request, or to leave its connection unused",
        set: |s, v| duration(v).map(|v| s.client_timeout = v),
    },
    Setting {
        variable: "SSR_CONNECTIONS",
        flag: "connections",
        default: "1024",
        accepts: COUNT,
        help: "Connections at the same time; further ones wait",
        set: |s, v| count(v).map(|v| s.connections = v),
    },
    Setting {
        variable: "SSR_GRACE_PERIOD",
        flag: "grace-period",
        default: "8s",
        accepts: DURATION,
        help: "After SIGTERM, longest time for requests in flight to complete",
        set: |s, v| duration(v).map(|v| s.grace_period = v),
    },
    Setting {
        variable: "SSR_IMMUTABLE",
        flag: "immutable",
        default: "/assets/",
        accepts: "a path that begins and ends with a slash, or 'none'",
        help: "Path whose files have their content's hash in their names: cached for ever",
        set: |s, v| immutable(v).map(|v| s.immutable = v),
    },
    Setting {
        variable: "SSR_LOG",
        flag: "log",
        default: "info",
        accepts: "error, warn, info, debug or off",
        help: "What to log to standard error",
        set: |s, v| v.parse().ok().map(|v| s.log = v),
    },
    Setting {
        variable: "SSR_ACCESS_LOG",
        flag: "access-log",
        default: "off",
        accepts: "on or off",
        help: "Whether to log each request",
        set: |s, v| switch(v).map(|v| s.access_log = v),
    },
];

fn count(value: &str) -> Option<usize> {
    value.parse().ok().filter(|&count| count > 0)
}

fn duration(value: &str) -> Option<Duration> {
    humantime::parse_duration(value).ok().filter(|time| !time.is_zero())
}

fn size(value: &str) -> Option<usize> {
    let bytes: bytesize::ByteSize = value.parse().ok()?;
    usize::try_from(bytes.as_u64()).ok().filter(|&bytes| bytes > 0)
}

fn immutable(value: &str) -> Option<String> {
    match value {
        "none" => Some(String::new()),
        path if path.starts_with('/') && path.ends_with('/') => Some(path.to_owned()),
        _ => None,
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            render_threads: std::thread::available_parallelism().map_or(1, usize::from),
            render_timeout: Duration::from_secs(10),
            render_memory: 128 << 20,
            render_queue: 64,
            queue_timeout: Duration::from_secs(10),
            request_body: 1 << 20,
            client_timeout: Duration::from_secs(30),
            connections: 1024,
            grace_period: Duration::from_secs(8),
            immutable: "/assets/".to_owned(),
            log: LevelFilter::Info,
            access_log: false,
        }
    }
}

impl Settings {
    /// Sets what `setting` is about; `name` is what the person wrote (variable or flag).
    pub fn set(&mut self, setting: &Setting, name: &str, value: &str) -> Result<(), SettingError> {
        (setting.set)(self, value.trim()).ok_or_else(|| SettingError {
            name: name.to_owned(),
            value: value.to_owned(),
            accepts: setting.accepts,
        })
    }

    /// The settings that an environment gives. An empty value counts as unset.
    pub fn from_env(env: &[(String, String)]) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        let value_of = |name: &str| {
            let found = env.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        if let Some(port) = value_of("PORT") {
            let accepts = "a port, a whole number from 0 to 65535";
            let error = || SettingError { name: "PORT".to_owned(), value: port.to_owned(), accepts };
            settings.listen.set_port(port.trim().parse().map_err(|_| error())?);
        }
        for setting in TABLE {
            if let Some(value) = value_of(setting.variable) {
                settings.set(setting, setting.variable, value)?;
            }
        }
        Ok(settings)
    }
}

/// Variables that look like settings and are none: most likely misspelt. What
/// Kubernetes adds for a service that is called `ssr` is not meant.
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
    for Setting { variable, flag, default, accepts, help, .. } in TABLE {
        let default =
            if default.is_empty() { "one for each core".to_owned() } else { format!("`{default}`") };
        text.push_str(&format!("| `{variable}` | `--{flag}` | {default} | {help} | {accepts} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_defaults_in_the_table_are_the_defaults() {
        let mut from_table = Settings::default();
        for setting in TABLE.iter().filter(|setting| !setting.default.is_empty()) {
            from_table.set(setting, setting.variable, setting.default).unwrap();
        }
        assert_eq!(from_table, Settings::default());
    }

    #[test]
    fn variables_and_flags_have_the_same_names() {
        for setting in TABLE {
            assert_eq!(setting.variable, format!("SSR_{}", setting.flag.to_uppercase().replace('-', "_")));
        }
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        let settings = Settings::from_env(&env(&[
            ("PORT", "3000"),
            ("SSR_RENDER_TIMEOUT", "500ms"),
            ("SSR_RENDER_MEMORY", "64MiB"),
            ("SSR_ACCESS_LOG", "on"),
            ("SSR_IMMUTABLE", "none"),
            ("SSR_RENDER_QUEUE", ""),
        ]))
        .unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:3000");
        assert_eq!(settings.render_timeout, Duration::from_millis(500));
        assert_eq!(settings.render_memory, 64 << 20);
        assert_eq!((settings.access_log, &*settings.immutable, settings.render_queue), (true, "", 64));
    }

    #[test]
    fn ssr_listen_wins_over_port() {
        let settings = Settings::from_env(&env(&[("PORT", "3000"), ("SSR_LISTEN", "[::]:80")])).unwrap();
        assert_eq!(settings.listen.to_string(), "[::]:80");
    }

    #[test]
    fn a_value_that_does_not_parse_names_variable_value_and_what_is_accepted() {
        let error = Settings::from_env(&env(&[("SSR_RENDER_TIMEOUT", "soon")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SSR_RENDER_TIMEOUT: 'soon' is not accepted; it takes a time longer than zero, such as 500ms, 10s or 2m"
        );
        for (name, value) in [
            ("SSR_LISTEN", "nonsense"),
            ("SSR_RENDER_THREADS", "0"),
            ("SSR_RENDER_MEMORY", "lots"),
            ("SSR_RENDER_TIMEOUT", "0s"),
            ("SSR_IMMUTABLE", "assets"),
            ("SSR_ACCESS_LOG", "maybe"),
            ("SSR_LOG", "loud"),
            ("PORT", "http"),
        ] {
            let error = Settings::from_env(&env(&[(name, value)])).unwrap_err();
            assert_eq!((&*error.name, &*error.value), (name, value));
        }
    }

    #[test]
    fn a_misspelt_variable_is_found_and_kubernetes_own_are_not() {
        let env = env(&[
            ("SSR_LISTN", "x"),
            ("SSR_LISTEN", "x"),
            ("SSR_SERVICE_HOST", "x"),
            ("SSR_PORT_80_TCP", "x"),
        ]);
        assert_eq!(unknown_variables(&env), ["SSR_LISTN"]);
    }

    #[test]
    fn the_documentation_has_this_table() {
        let docs = include_str!("../../docs/settings.md");
        assert!(docs.contains(&markdown()), "docs/settings.md: put this table there:\n{}", markdown());
    }
}
