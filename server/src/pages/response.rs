//! From the head of a site's response to HTTP.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use ssr_wasm::abi::response::ResponseHead;

/// Headers that belong to the connection or that the server sets (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Most headers of a response. `HeaderMap` would panic far beyond that.
const MAX_FIELDS: usize = 1000;

/// The head of a site's response. The error, for the log, names what HTTP does not allow.
pub fn from_site(head: &ResponseHead) -> Result<Response<()>, String> {
    let mut response = Response::new(());
    let status = u16::try_from(head.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    *response.status_mut() = status
        .filter(|status| !status.is_informational())
        .ok_or_else(|| format!("invalid status {}", head.status))?;
    let headers = response.headers_mut();
    let mut lines = head.headers.split_terminator('\n');
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let field = HeaderName::try_from(name).map_err(|_| format!("invalid header name '{name}'"))?;
        if HOP_BY_HOP.contains(&field) {
            continue;
        }
        let latin1: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let value = latin1.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()).ok_or_else(|| {
            format!("the value of the header '{name}' has characters that HTTP cannot carry")
        })?;
        if headers.len() >= MAX_FIELDS {
            return Err(format!("more than {MAX_FIELDS} headers"));
        }
        headers.append(field, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(response)
}

/// Adds the time of the render in milliseconds, including the wait for a thread, to the
/// site's own `Server-Timing`.
pub fn add_render_time(headers: &mut HeaderMap, time: Duration) {
    let text = format!("render;dur={:.2}", time.as_secs_f64() * 1000.0);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(HeaderName::from_static("server-timing"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(status: u32, headers: &str) -> Result<Response<()>, String> {
        from_site(&ResponseHead { status, headers: headers.to_owned() })
    }

    #[test]
    fn a_sites_headers_are_sent_without_those_of_the_connection() {
        let response =
            respond(201, "set-cookie\na=1\nset-cookie\nb=2\nconnection\nclose\ncontent-length\n9\nx\ncafé\n")
                .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert!(!response.headers().contains_key("connection"));
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(response.headers()["x"].as_bytes(), b"caf\xe9");
        assert_eq!(response.headers()["cache-control"], "no-cache");
    }

    #[test]
    fn what_http_does_not_allow_is_named() {
        assert_eq!(respond(99, "").unwrap_err(), "invalid status 99");
        assert_eq!(respond(100, "").unwrap_err(), "invalid status 100");
        assert_eq!(respond(200, "a b\nx\n").unwrap_err(), "invalid header name 'a b'");
        let many: String = (0..40_000).map(|number| format!("a{number}\n\n")).collect();
        assert_eq!(respond(200, &many).unwrap_err(), "more than 1000 headers");
        assert!(respond(200, "a\n€\n").unwrap_err().contains("'a' has characters that HTTP cannot carry"));
    }
}
