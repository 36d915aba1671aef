//! The pages that the server sends when the site has none.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use ssr_wasm::abi::error::RenderError;

use crate::body::{self, Body};

/// The status that answers a failed render.
pub fn status_of(error: &RenderError) -> StatusCode {
    match error {
        RenderError::TimedOut(_) | RenderError::Stalled(_) => StatusCode::GATEWAY_TIMEOUT,
        RenderError::Queued(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A plain error page. It shows the request's id, under which the log has the cause.
pub fn error_page(status: StatusCode, id: &str) -> Response<Body> {
    let (title, advice) = match status {
        StatusCode::NOT_FOUND => ("Not found", "There is nothing at this address."),
        StatusCode::BAD_REQUEST => ("Bad request", "The server did not understand the request."),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("Method not allowed", "This address does not support the request's method.")
        }
        StatusCode::REQUEST_TIMEOUT => ("Request timeout", "The request took too long to arrive."),
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("Content too large", "The request is larger than this site accepts.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Busy", "The site has more requests than it can answer right now. Please try again soon.")
        }
        StatusCode::GATEWAY_TIMEOUT => {
            ("This page took too long", "The site did not finish the page in time. Please try again.")
        }
        _ => ("This page failed", "The site could not render this page. This is not your fault."),
    };
    page(status, title, advice, id)
}

/// The answer to a request that HTTP does not allow, with the `reason`.
pub fn bad_request(reason: &'static str, id: &str) -> Response<Body> {
    page(StatusCode::BAD_REQUEST, "Bad request", reason, id)
}

fn page(status: StatusCode, title: &str, advice: &str, id: &str) -> Response<Body> {
    let code = status.as_u16();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{code} {title}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;\
         color-scheme:light dark}}small{{opacity:.7}}</style></head>\
         <body><h1>{title}</h1><p>{advice}</p><p><small>{code} &middot; request {id}</small></p></body></html>\n"
    );
    let mut response = Response::new(body::full(page));
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

    #[test]
    fn a_busy_site_says_when_to_retry_and_no_error_is_cached() {
        let response = error_page(StatusCode::SERVICE_UNAVAILABLE, "id");
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
