//! Whom a program may talk to.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// What [`Network`] is written as.
pub const ACCEPTED: &str = "none, all, or hosts with or without a port, separated by commas, such as \
                            api.example.com:443, *.example.com, 10.0.0.0/8 or [fd00::1]:5432; and listen, for \
                            programs that accept connections";

/// Whom a program may talk to; by default nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    everybody: bool,
    /// Whether it may accept connections.
    listen: bool,
    hosts: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: Host,
    /// Any, if there is none.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Network(IpNet),
    /// In lower case.
    Name(String),
    /// All names that end so; begins with a dot.
    Suffix(String),
}

/// A text that is not what [`ACCEPTED`] says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no host")]
pub struct NoHost(String);

impl FromStr for Network {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let mut network = Self::default();
        let items: Vec<&str> = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty()).collect();
        for item in &items {
            match *item {
                "none" if items.len() == 1 => {}
                "all" => (network.everybody, network.listen) = (true, true),
                "listen" => network.listen = true,
                host => network.hosts.push(host.parse()?),
            }
        }
        Ok(network)
    }
}

impl FromStr for Rule {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let no_host = || NoHost(text.to_owned());
        if let Some(host) = network_of(text) {
            return Ok(Self { host, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| no_host())?)),
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Some(host) = network_of(bare) {
            return Ok(Self { host, port });
        }
        let name = host.to_ascii_lowercase();
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // What begins with a digit at the end is an address that is none.
        let numeric =
            rest.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if !rest.split('.').all(label) || numeric {
            return Err(no_host());
        }
        let host = match rest.len() < name.len() {
            true => Host::Suffix(format!(".{rest}")),
            false => Host::Name(name),
        };
        Ok(Self { host, port })
    }
}

fn network_of(text: &str) -> Option<Host> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).ok().map(Host::Network)
}

impl Rule {
    fn port_fits(&self, port: u16) -> bool {
        self.port.is_none_or(|allowed| allowed == port)
    }
}

impl Network {
    /// Whether requests may go to a host, as a URL names it, and a port.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        let address: Option<IpAddr> = bare.parse().ok();
        self.everybody
            || self.hosts.iter().any(|rule| {
                rule.port_fits(port)
                    && match &rule.host {
                        Host::Network(network) => address.is_some_and(|address| network.contains(&address)),
                        Host::Name(allowed) => *allowed == name,
                        Host::Suffix(suffix) => name.ends_with(suffix.as_str()),
                    }
            })
    }

    /// Whether packets may go to an address. Names count for what they stand for now; those
    /// with a wildcard count for nothing here.
    async fn allows_address(&self, address: SocketAddr) -> bool {
        if self.everybody {
            return true;
        }
        let ip = address.ip().to_canonical();
        for rule in self.hosts.iter().filter(|rule| rule.port_fits(address.port())) {
            match &rule.host {
                Host::Network(network) if network.contains(&ip) => return true,
                Host::Name(name) => {
                    let resolved = tokio::net::lookup_host((name.as_str(), address.port())).await;
                    if resolved.is_ok_and(|mut all| all.any(|one| one.ip().to_canonical() == ip)) {
                        return true;
                    }
                }
                Host::Network(_) | Host::Suffix(_) => {}
            }
        }
        false
    }

    async fn allows_use(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        match usage {
            // What is bound only to connect has no port of its own yet.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => self.listen || address.port() == 0,
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => self.listen,
            SocketAddrUse::UdpReceive if self.listen => true,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                self.allows_address(address).await
            }
        }
    }

    /// Gives a program what is allowed.
    pub(crate) fn allow_in(&self, context: &mut WasiCtxBuilder) {
        let any = self.everybody || self.listen || !self.hosts.is_empty();
        let names = self.everybody || self.hosts.iter().any(|rule| !matches!(rule.host, Host::Network(_)));
        context.allow_tcp(any).allow_udp(any).allow_ip_name_lookup(names);
        if any {
            let network = std::sync::Arc::new(self.clone());
            context.socket_addr_check(move |address, usage| {
                let network = std::sync::Arc::clone(&network);
                Box::pin(async move { network.allows_use(address, usage).await })
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_may_be_asked_unless_the_operator_names_him() {
        assert_eq!(network("none"), Network::default());
        assert_eq!(network(""), Network::default());
        assert!(!network("none").allows("example.com", 443));
        assert!(network("all").allows("example.com", 443));
        let some = network("api.example.com:443, *.example.org,10.0.0.0/8 [fd00::1]:5432,localhost");
        for (host, port) in [
            ("API.example.com", 443),
            ("api.example.com.", 443),
            ("a.b.example.org", 1),
            ("10.9.8.7", 80),
            ("[fd00::1]", 5432),
            ("localhost", 3000),
        ] {
            assert!(some.allows(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("api.example.com", 80),
            ("example.org", 443),
            ("evilexample.org", 443),
            ("11.9.8.7", 80),
            ("[fd00::1]", 5433),
            ("api.example.com.evil.org", 443),
        ] {
            assert!(!some.allows(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["a b:x", "http://example.com", "10.0.0.300", "a..b", "*", "example.com:99999", "none,a:b:c"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn sockets_reach_what_is_allowed_and_accept_only_where_they_may() {
        use SocketAddrUse::{TcpBind, TcpConnect, TcpListen, UdpReceive};
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let some = network("127.0.0.0/8:80,localhost:5432");
        assert!(some.allows_use(address("127.0.0.1:80"), TcpConnect).await);
        assert!(some.allows_use(address("[::ffff:127.0.0.1]:80"), TcpConnect).await);
        assert!(some.allows_use(address("127.0.0.1:5432"), TcpConnect).await);
        assert!(!some.allows_use(address("127.0.0.1:81"), TcpConnect).await);
        assert!(some.allows_use(address("0.0.0.0:0"), TcpBind).await);
        assert!(!some.allows_use(address("0.0.0.0:8080"), TcpBind).await);
        assert!(!some.allows_use(address("0.0.0.0:8080"), TcpListen).await);
        let listen = network("listen");
        assert!(listen.allows_use(address("0.0.0.0:8080"), TcpListen).await);
        assert!(listen.allows_use(address("10.0.0.1:1"), UdpReceive).await);
        assert!(!listen.allows_use(address("10.0.0.1:1"), TcpConnect).await);
    }
}
