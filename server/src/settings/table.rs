//! All settings, and those of earlier versions.

use super::values::{
    COUNT, DURATION, DURATION_OR_NONE, HEADER_SIZE, SIZE, count, duration, duration_or_none, guest_form,
    header_size, immutable, size, switch,
};
use super::{Renamed, Setting};

/// Defaults that depend on the machine.
const ONE_PER_CORE: &str = "one per core";
const NO_LIMIT: &str = "the container's";
const BY_MEMORY: &str = "1024, fewer if the container has less than 512 MiB";

impl Setting {
    /// Whether the default is a value rather than words.
    pub(super) fn default_is_value(&self) -> bool {
        ![ONE_PER_CORE, BY_MEMORY, NO_LIMIT].contains(&self.default)
    }
}

/// All settings.
pub static TABLE: &[Setting] = &[
    Setting {
        variable: "SSR_LISTEN",
        flag: "listen",
        default: "[::]:8080",
        accepts: "an address and port, such as [::]:80, 0.0.0.0:8080 or 127.0.0.1:3000",
        help: "Address to listen on; [::] is all of IPv6 and IPv4. If it is not set, PORT sets the port, on all addresses",
        set: |s, v| v.parse().ok().map(|v| s.listen = v),
    },
    Setting {
        variable: "SSR_RENDER_THREADS",
        flag: "render-threads",
        default: ONE_PER_CORE,
        accepts: COUNT,
        help: "Concurrent renders",
        set: |s, v| count(v).map(|v| s.limits.render_threads = v),
    },
    Setting {
        variable: "SSR_RENDER_TIMEOUT",
        flag: "render-timeout",
        default: "10s",
        accepts: DURATION,
        help: "Longest time for one render; after it the answer is 504",
        set: |s, v| duration(v).map(|v| s.limits.render_timeout = v),
    },
    Setting {
        variable: "SSR_RENDER_MEMORY_LIMIT",
        flag: "render-memory-limit",
        default: "128MiB",
        accepts: SIZE,
        help: "Most memory for one render, including its request and response; a render that needs more is answered 500",
        set: |s, v| size(v).map(|v| s.limits.render_memory_limit = v),
    },
    Setting {
        variable: "SSR_RENDER_QUEUE",
        flag: "render-queue",
        default: "64",
        accepts: COUNT,
        help: "Requests that may wait for a render; further ones are answered 503",
        set: |s, v| count(v).map(|v| s.limits.render_queue = v),
    },
    Setting {
        variable: "SSR_QUEUE_TIMEOUT",
        flag: "queue-timeout",
        default: "10s",
        accepts: DURATION,
        help: "Longest wait for a render to begin; after it the answer is 503",
        set: |s, v| duration(v).map(|v| s.limits.queue_timeout = v),
    },
    Setting {
        variable: "SSR_MAX_BODY_SIZE",
        flag: "max-body-size",
        default: "1MiB",
        accepts: SIZE,
        help: "Largest request body; a larger one is answered 413",
        set: |s, v| size(v).map(|v| s.max_body_size = v),
    },
    Setting {
        variable: "SSR_MAX_HEADER_SIZE",
        flag: "max-header-size",
        default: "32KiB",
        accepts: HEADER_SIZE,
        help: "Largest request line and headers together; larger ones, and more than 100 headers, are answered 431",
        set: |s, v| header_size(v).map(|v| s.max_header_size = v),
    },
    Setting {
        variable: "SSR_HEADER_TIMEOUT",
        flag: "header-timeout",
        default: "30s",
        accepts: DURATION,
        help: "Longest time for a request's headers to arrive; after it the connection is closed",
        set: |s, v| duration(v).map(|v| s.header_timeout = v),
    },
    Setting {
        variable: "SSR_BODY_TIMEOUT",
        flag: "body-timeout",
        default: "30s",
        accepts: DURATION,
        help: "Longest time for a request's body to arrive; after it the answer is 408",
        set: |s, v| duration(v).map(|v| s.body_timeout = v),
    },
    Setting {
        variable: "SSR_IDLE_TIMEOUT",
        flag: "idle-timeout",
        default: "30s",
        accepts: DURATION,
        help: "How long a connection stays open between requests",
        set: |s, v| duration(v).map(|v| s.idle_timeout = v),
    },
    Setting {
        variable: "SSR_WRITE_TIMEOUT",
        flag: "write-timeout",
        default: "30s",
        accepts: DURATION,
        help: "Longest time for which a client may accept nothing of its response; after it the connection is closed",
        set: |s, v| duration(v).map(|v| s.write_timeout = v),
    },
    Setting {
        variable: "SSR_MAX_CONNECTIONS",
        flag: "max-connections",
        default: BY_MEMORY,
        accepts: COUNT,
        help: "Most concurrent connections; a further one gets the place of the one that has waited longest for its client",
        set: |s, v| count(v).map(|v| s.max_connections = v),
    },
    Setting {
        variable: "SSR_DRAIN_DELAY",
        flag: "drain-delay",
        default: "0s",
        accepts: DURATION_OR_NONE,
        help: "How long to go on accepting requests after SIGTERM, until load balancers have noticed; meanwhile health checks fail",
        set: |s, v| duration_or_none(v).map(|v| s.drain_delay = v),
    },
    Setting {
        variable: "SSR_GRACE_PERIOD",
        flag: "grace-period",
        default: "8s",
        accepts: DURATION,
        help: "Longest time for in-flight requests to complete after SIGTERM, and after SSR_DRAIN_DELAY",
        set: |s, v| duration(v).map(|v| s.grace_period = v),
    },
    Setting {
        variable: "SSR_IMMUTABLE_PREFIX",
        flag: "immutable-prefix",
        default: "auto",
        accepts: "auto, none, or a path that begins and ends with a slash",
        help: "Files that never change and are cached for a year: with auto, those with a hash of the content in their names; with a path, all below it",
        set: |s, v| immutable(v).map(|v| s.immutable = v),
    },
    Setting {
        variable: "SSR_TRUSTED_PROXIES",
        flag: "trusted-proxies",
        default: "none",
        accepts: "addresses and networks, such as 10.42.0.0/16, 192.168.1.7 or fd00::/8, separated by commas, or 'none'",
        help: "Proxies whose X-Forwarded-Proto says whether the client used https",
        set: |s, v| v.parse().ok().map(|v| s.trusted_proxies = v),
    },
    Setting {
        variable: "SSR_GUEST",
        flag: "guest",
        default: "auto",
        accepts: "auto, wagi or javy",
        help: "What answers requests: with auto, the module itself; with wagi or javy, a program that runs for each of them",
        set: |s, v| guest_form(v).map(|v| s.guest = v),
    },
    Setting {
        variable: "SSR_NETWORK",
        flag: "network",
        default: "none",
        accepts: ssr_wasi::ACCEPTED_NETWORK,
        help: "Whom a module that is not a site may talk to",
        set: |s, v| v.parse().ok().map(|v| s.network = v),
    },
    Setting {
        variable: "SSR_MEMORY_LIMIT",
        flag: "memory-limit",
        default: NO_LIMIT,
        accepts: SIZE,
        help: "Most memory of a module that runs once",
        set: |s, v| size(v).map(|v| s.memory_limit = Some(v)),
    },
    Setting {
        variable: "SSR_LOG_LEVEL",
        flag: "log-level",
        default: "info",
        accepts: "error, warn, info, debug or off",
        help: "What to log to standard error",
        set: |s, v| v.parse().ok().map(|v| s.log_level = v),
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

/// Settings of earlier versions, which are refused.
pub static RENAMED: &[Renamed] = &[
    Renamed { variable: "SSR_RENDER_MEMORY", flag: "render-memory", replacements: &["render-memory-limit"] },
    Renamed { variable: "SSR_REQUEST_BODY", flag: "request-body", replacements: &["max-body-size"] },
    Renamed {
        variable: "SSR_CLIENT_TIMEOUT",
        flag: "client-timeout",
        replacements: &["header-timeout", "body-timeout", "idle-timeout"],
    },
    Renamed { variable: "SSR_CONNECTIONS", flag: "connections", replacements: &["max-connections"] },
    Renamed { variable: "SSR_IMMUTABLE", flag: "immutable", replacements: &["immutable-prefix"] },
    Renamed { variable: "SSR_LOG", flag: "log", replacements: &["log-level"] },
];
