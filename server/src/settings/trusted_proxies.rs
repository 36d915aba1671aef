//! The proxies in front of the server, and what they say about a client's connection.
//! From anybody else, the same headers are only text: any client can send them.

use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const HEADER: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The addresses of the proxies that are believed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = ipnet::AddrParseError;

    /// Reads networks and single addresses, separated by commas or spaces, or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::default());
        }
        let items = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty());
        let networks = items.map(|item| match item.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => item.parse(),
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// The scheme that the client used, for a request from `peer` with these headers.
    pub fn scheme(&self, peer: IpAddr, headers: &HeaderMap) -> &'static str {
        let reported = || {
            // The last value is the one that the proxy itself has seen: what stands before
            // it may come from the client.
            let value = headers.get_all(HEADER).into_iter().next_back()?.to_str().ok()?;
            value.rsplit(',').next()
        };
        let is_https =
            self.contains(peer) && reported().is_some_and(|value| value.trim().eq_ignore_ascii_case("https"));
        if is_https { "https" } else { "http" }
    }

    /// Whether `peer` says what it is not trusted to say.
    pub fn ignores(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        headers.contains_key(HEADER) && !self.contains(peer)
    }

    fn contains(&self, peer: IpAddr) -> bool {
        // A listener for both families sees IPv4 as ::ffff:10.0.0.1.
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(trusted: &str, peer: &str, forwarded: &[&'static str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-proto", value.parse().unwrap());
        }
        trusted.parse::<TrustedProxies>().unwrap().scheme(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn only_a_trusted_proxy_can_say_https() {
        for (trusted, peer, expected) in [
            ("none", "10.0.0.1", "http"),
            ("10.0.0.0/8", "10.200.0.1", "https"),
            ("10.0.0.0/8", "11.0.0.1", "http"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "https"),
            ("192.168.1.7", "192.168.1.7", "https"),
            ("192.168.1.7", "192.168.1.8", "http"),
            ("fd00::/8, 127.0.0.1", "127.0.0.1", "https"),
            ("fd00::/8 127.0.0.1", "fd12::1", "https"),
            ("0.0.0.0/0", "fd12::1", "http"),
        ] {
            assert_eq!(scheme(trusted, peer, &["https"]), expected, "{trusted} {peer}");
        }
    }

    #[test]
    fn of_several_values_the_trusted_proxys_own_counts() {
        for (forwarded, expected) in [
            (&[][..], "http"),
            (&["HTTPS"], "https"),
            (&["https, http"], "http"),
            (&["http,https "], "https"),
            (&["https", "http"], "http"),
            (&["ftp"], "http"),
        ] {
            assert_eq!(scheme("10.0.0.1", "10.0.0.1", forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["proxy.example", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "none, 10.0.0.1"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
    }
}
