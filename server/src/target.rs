//! The URL that a request is for: its target and its Host header (RFC 9112, 3.2), as the
//! URL standard writes it. What names no host, or more than one, is refused: a proxy in
//! front may have read it in another way.

use std::borrow::Cow;

use http::{HeaderValue, Request, Uri, Version, header};
use url::Url;

/// Why a request is for no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum TargetError {
    /// An HTTP/1.1 request without a Host header.
    NoHost,
    /// Two or more Host headers.
    ManyHosts,
    /// A Host header, or an authority, that is not a host and perhaps a port.
    InvalidHost,
    /// A target that is neither a path nor a URL, such as `*`.
    InvalidTarget,
}

impl TargetError {
    /// The reason as a sentence for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoHost => "The request has no Host header.",
            Self::ManyHosts => "The request has more than one Host header.",
            Self::InvalidHost => {
                "The request's Host is not the name of a host, or its address, with or without a port."
            }
            Self::InvalidTarget => {
                "The request's target must be a path, which begins with a slash, or an http URL."
            }
        }
    }
}

/// The URL of a request that came by `scheme`.
pub fn url<B>(request: &Request<B>, scheme: &str) -> Result<Url, TargetError> {
    let uri = request.uri();
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(TargetError::ManyHosts),
        (Some(host), None) => Some(text(host)?),
        (None, _) if request.version() >= Version::HTTP_11 => return Err(TargetError::NoHost),
        (None, _) => None,
    };
    if !host.is_none_or(is_host_and_port) {
        return Err(TargetError::InvalidHost);
    }
    // A whole URL counts before the Host header; HTTP/1.0 needs neither.
    let authority = match uri.authority() {
        Some(authority) if is_host_and_port(authority.as_str()) => authority.as_str(),
        Some(_) => return Err(TargetError::InvalidHost),
        None => host.unwrap_or("localhost"),
    };
    let path = path(uri);
    if !path.starts_with('/') || (uri.authority().is_some() && uri.scheme().is_none()) {
        return Err(TargetError::InvalidTarget);
    }
    Url::parse(&format!("{scheme}://{authority}{path}")).map_err(|_| TargetError::InvalidHost)
}

/// The path and the query of a target.
pub fn path(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query().map_or("", |path| path.as_str()) {
        "" => "/".into(),
        // Of a URL without a path.
        query if query.starts_with('?') => format!("/{query}").into(),
        path => path.into(),
    }
}

fn text(value: &HeaderValue) -> Result<&str, TargetError> {
    value.to_str().map_err(|_| TargetError::InvalidHost)
}

/// Whether `text` is `uri-host [ ":" port ]` (RFC 3986, 3.2.2). The URL parser alone would
/// find a user, a path or a query in it, and drop tabs. No part of a name is empty, except
/// after a last dot.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => is_address(address),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
            !host.is_empty() && !host.starts_with('.') && !host.contains("..") && host.bytes().all(allowed)
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(version: Version, target: &str, hosts: &[&str]) -> Result<String, TargetError> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        url(&request.body(()).unwrap(), "http").map(String::from)
    }

    #[test]
    fn a_url_is_written_as_the_url_standard_says() {
        for (target, host, expected) in [
            ("/", "example.com", "http://example.com/"),
            ("/a?b=1", "Example.COM:80", "http://example.com/a?b=1"),
            ("/a/../b/./c", "h:8080", "http://h:8080/b/c"),
            ("/a\"b?c'd", "h:", "http://h/a%22b?c%27d"),
            ("/ä", "xn--bcher-kva.example", "http://xn--bcher-kva.example/%C3%A4"),
            ("//other/x", "h", "http://h//other/x"),
            ("/", "[0:0::1]:8080", "http://[::1]:8080/"),
            ("/", "[::ffff:192.0.2.1]", "http://[::ffff:c000:201]/"),
            ("/", "127.1", "http://127.0.0.1/"),
            ("/", "under_score.example.", "http://under_score.example./"),
            ("http://other.example/x", "h", "http://other.example/x"),
            ("http://other.example", "h", "http://other.example/"),
            ("http://other.example?x", "h", "http://other.example/?x"),
        ] {
            let url = url_of(Version::HTTP_11, target, &[host]);
            assert_eq!(url.as_deref(), Ok(expected), "{target} {host}");
        }
    }

    #[test]
    fn a_host_that_is_more_or_less_than_a_host_is_refused() {
        for host in [
            "",
            ":80",
            "a b",
            "a\tb",
            "evil.example/x?",
            "a?b",
            "a#b",
            "a\\b",
            "user@h",
            "user:pass@h",
            "h:80:80",
            "h:x",
            "h:99999",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%25eth0]",
            "a%zz",
            "a%2fb",
            "a%00b",
            "1.2.3.4.5",
            "999.1.1.1",
            "<h>",
            "a,b@c",
            "xn--a",
            "a..b",
            ".",
            "ä",
        ] {
            let url = url_of(Version::HTTP_11, "/", &[host]);
            assert_eq!(url, Err(TargetError::InvalidHost), "{host:?}");
        }
        let target = "http://user@h/";
        assert_eq!(url_of(Version::HTTP_11, target, &["h"]), Err(TargetError::InvalidHost));
    }

    #[test]
    fn one_host_is_needed_from_http_1_1_on() {
        assert_eq!(url_of(Version::HTTP_11, "/", &[]), Err(TargetError::NoHost));
        assert_eq!(url_of(Version::HTTP_11, "http://h/", &[]), Err(TargetError::NoHost));
        assert_eq!(url_of(Version::HTTP_10, "/", &[]).as_deref(), Ok("http://localhost/"));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(url_of(version, "/", &["a", "a"]), Err(TargetError::ManyHosts));
            assert_eq!(url_of(version, "/", &["a b"]), Err(TargetError::InvalidHost));
        }
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for target in ["*", "example.com:80"] {
            assert_eq!(url_of(Version::HTTP_11, target, &["h"]), Err(TargetError::InvalidTarget), "{target}");
        }
    }
}
