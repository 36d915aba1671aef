//! A request as CGI's variables and arguments (RFC 3875, 4.1, and what WAGI adds).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::routes::Pattern;
use ssr_wasm::abi::request::Fields;

/// The path, and the query's parts as they are.
pub(super) fn arguments(path: &str, query: &str) -> Vec<String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    [path].into_iter().chain(parts).map(str::to_owned).collect()
}

/// Arguments that modules.toml names: `${SCRIPT_NAME}` is the path, `${ARGS}` the query's parts.
pub(super) fn expand_argv(argv: &str, path: &str, query: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    for word in argv.split_whitespace() {
        match word {
            "${ARGS}" => arguments.extend(self::arguments("", query).into_iter().skip(1)),
            word => arguments.push(word.replace("${SCRIPT_NAME}", path)),
        }
    }
    arguments
}

/// Adds the request's variables. They win over others of the same names: a program relies on
/// them.
pub(super) fn extend(
    env: &mut Vec<(String, String)>,
    request: &Fields<'_>,
    pattern: &Pattern,
    client: Option<IpAddr>,
) {
    let (path, query) = request.path_and_query();
    let (script, rest) = pattern.split(path);
    let authority = request.url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = &authority[..authority.find(['/', '?']).unwrap_or(authority.len())];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, if request.url.starts_with("https:") { "443" } else { "80" }),
    };
    let client = client.map(|address| address.to_string()).unwrap_or_default();
    let length = request.body.map_or(0, <[u8]>::len).to_string();
    let decoded = percent_decoded(rest);
    let headers = headers(request);
    let content_type = headers.get("HTTP_CONTENT_TYPE").cloned().unwrap_or_default();
    let own = [
        ("AUTH_TYPE", ""),
        ("CONTENT_LENGTH", &length),
        ("CONTENT_TYPE", &content_type),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("PATH_INFO", &decoded),
        ("PATH_TRANSLATED", &decoded),
        ("QUERY_STRING", query),
        ("REMOTE_ADDR", &client),
        ("REMOTE_HOST", &client),
        ("REMOTE_USER", ""),
        ("REQUEST_METHOD", request.method),
        ("SCRIPT_NAME", script),
        ("SERVER_NAME", host),
        ("SERVER_PORT", port),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", concat!("containerd-shim-ssr/", env!("CARGO_PKG_VERSION"))),
        ("X_FULL_URL", request.url),
        ("X_MATCHED_ROUTE", &pattern.text()),
        ("X_RAW_PATH_INFO", rest),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables: BTreeMap<_, _> = headers.into_iter().chain(own).collect();
    env.retain(|(name, _)| !variables.contains_key(name));
    env.extend(variables);
}

/// Headers as `HTTP_` variables. Not Proxy, whose variable many programs take for a setting
/// (CVE-2016-5385), nor what is of the connection, nor names with an underscore, which would pass
/// for those with a hyphen.
fn headers(request: &Fields<'_>) -> BTreeMap<String, String> {
    let mut headers = request.joined_headers();
    headers.retain(|name, _| !["proxy", "connection"].contains(name) && !name.contains('_'));
    let variable = |name: &str| format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
    headers.into_iter().map(|(name, value)| (variable(name), value)).collect()
}

/// What is not UTF-8 stays as it is.
fn percent_decoded(path: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let decoded = match after {
            [high, low, ..] if byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        // Two hexadecimal digits are one byte.
        let decoded = decoded.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    // A variable cannot hold a null byte.
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssr_wasm::abi::request::RenderRequest;

    fn variables(pattern: &str, path: &str, headers: &str) -> BTreeMap<String, String> {
        let request = RenderRequest {
            id: "1",
            client: None,
            method: "POST",
            url: &format!("https://example.com:8443{path}"),
            path,
            headers,
            body: Some(b"body"),
        };
        let encoded = request.encode("");
        let mut env = vec![("REQUEST_METHOD".to_owned(), "mine".to_owned())];
        let client = "10.0.0.7".parse().ok();
        extend(&mut env, &Fields::decode(&encoded), &Pattern::parse(pattern), client);
        let count = env.len();
        let variables: BTreeMap<_, _> = env.into_iter().collect();
        assert_eq!(variables.len(), count, "each once");
        variables
    }

    #[test]
    fn a_request_becomes_variables() {
        let headers = "host\nexample.com:8443\ncontent-type\ntext/plain\nx-a\n1\nx-a\n2\nx_a\n3\ncookie\na=1\ncookie\nb=2\n\
                       proxy\nhttp://evil\nconnection\nclose\n";
        let variables = variables("/a/...", "/a/b%20c/%zz?x=1&y", headers);
        for (name, value) in [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/a"),
            ("PATH_INFO", "/b c/%zz"),
            ("X_RAW_PATH_INFO", "/b%20c/%zz"),
            ("QUERY_STRING", "x=1&y"),
            ("X_MATCHED_ROUTE", "/a/..."),
            ("X_FULL_URL", "https://example.com:8443/a/b%20c/%zz?x=1&y"),
            ("SERVER_NAME", "example.com"),
            ("SERVER_PORT", "8443"),
            ("REMOTE_ADDR", "10.0.0.7"),
            ("CONTENT_LENGTH", "4"),
            ("CONTENT_TYPE", "text/plain"),
            ("HTTP_X_A", "1, 2"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
        ] {
            assert_eq!(variables[name], value, "{name}");
        }
        assert!(!variables.contains_key("HTTP_PROXY") && !variables.contains_key("HTTP_CONNECTION"));
    }

    #[test]
    fn a_query_becomes_arguments() {
        assert_eq!(arguments("/env", "greet=matt&foo=b%20r"), ["/env", "greet=matt", "foo=b%20r"]);
        assert_eq!(arguments("/env", ""), ["/env"]);
        assert_eq!(
            expand_argv("ruby ${SCRIPT_NAME} -x ${ARGS}", "/env", "a=1&b"),
            ["ruby", "/env", "-x", "a=1", "b"]
        );
    }
}
