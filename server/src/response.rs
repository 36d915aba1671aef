//! Responses: those that the site gives, and the plain pages for when it fails.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use http_serve::BoxError;

use crate::guest::{Head, RenderError};

/// A response's body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Headers that belong to a connection or are the server's to set (RFC 9110, 7.6.1).
const NOT_THE_SITES: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Any body as a [`Body`].
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    boxed(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// The head of a response that the site gave. Refuses what HTTP does not allow,
/// with words for the log.
pub fn head(head: &Head) -> Result<Response<()>, String> {
    let mut response = Response::new(());
    let status = u16::try_from(head.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    *response.status_mut() = status
        .filter(|status| !status.is_informational())
        .ok_or_else(|| format!("the status {} is none", head.status))?;
    let headers = response.headers_mut();
    let mut lines = head.headers.split_terminator('\n');
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let field = HeaderName::try_from(name).map_err(|_| format!("the header name '{name}' is none"))?;
        if NOT_THE_SITES.contains(&field) {
            continue;
        }
        let latin1: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let value = latin1.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()).ok_or_else(|| {
            format!("the value of the header '{name}' has characters that headers cannot carry")
        })?;
        headers.append(field, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(response)
}

/// Tells the browser how long the render took, the wait for it included, in
/// milliseconds, beside what the site says of its own timing.
pub fn add_render_time(headers: &mut HeaderMap, time: Duration) {
    let text = format!("render;dur={:.2}", time.as_secs_f64() * 1000.0);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(HeaderName::from_static("server-timing"), value);
    }
}

/// The status by which a failed render is answered.
pub fn status_of(error: &RenderError) -> StatusCode {
    match error {
        RenderError::TimedOut(_) | RenderError::Stalled(_) => StatusCode::GATEWAY_TIMEOUT,
        RenderError::Queued(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A plain page for an error. Causes are for the log: what a visitor gets is the
/// request's id, under which the log has them.
pub fn error_page(status: StatusCode, id: &str) -> Response<Body> {
    let (title, advice) = match status {
        StatusCode::NOT_FOUND => ("Not found", "There is nothing at this address."),
        StatusCode::BAD_REQUEST => ("Bad request", "The server did not understand the request."),
        StatusCode::METHOD_NOT_ALLOWED => ("Method not allowed", "This address cannot be asked in this way."),
        StatusCode::REQUEST_TIMEOUT => ("Request timeout", "The request took too long to arrive."),
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("Content too large", "The request carries more than this site takes.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Busy", "The site has more requests than it can answer now. Please try again soon.")
        }
        StatusCode::GATEWAY_TIMEOUT => {
            ("This page took too long", "The site did not finish the page in time. Please try again.")
        }
        _ => ("This page failed", "The site could not make this page. The fault is the site's, not yours."),
    };
    let code = status.as_u16();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{code} {title}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;\
         color-scheme:light dark}}small{{opacity:.7}}</style></head>\
         <body><h1>{title}</h1><p>{advice}</p><p><small>{code} &middot; request {id}</small></p></body></html>\n"
    );
    let mut response = Response::new(full(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site_head(status: u32, headers: &str) -> Result<Response<()>, String> {
        head(&Head { status, headers: headers.to_owned() })
    }

    #[test]
    fn a_sites_headers_arrive_and_those_of_the_connection_do_not() {
        let response = site_head(
            201,
            "set-cookie\na=1\nset-cookie\nb=2\nconnection\nclose\ncontent-length\n9\nx\ncafé\n",
        )
        .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert!(!response.headers().contains_key("connection"));
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(response.headers()["x"].as_bytes(), b"caf\xe9");
        assert_eq!(response.headers()["cache-control"], "no-cache");
    }

    #[test]
    fn what_http_does_not_allow_is_refused_in_words() {
        assert_eq!(site_head(99, "").unwrap_err(), "the status 99 is none");
        assert_eq!(site_head(100, "").unwrap_err(), "the status 100 is none");
        assert_eq!(site_head(200, "a b\nx\n").unwrap_err(), "the header name 'a b' is none");
        assert!(site_head(200, "a\n€\n").unwrap_err().contains("cannot carry"));
    }

    #[test]
    fn a_busy_site_says_when_to_come_back_and_no_error_is_cached() {
        let response = error_page(StatusCode::SERVICE_UNAVAILABLE, "id");
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
