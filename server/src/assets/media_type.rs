//! Media types of files.

use std::path::Path;

use http::HeaderValue;

/// The media type that a file's extension stands for, with a charset if it is text.
pub fn media_type(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    let is_text = guess.starts_with("text/")
        || matches!(
            guess,
            "application/javascript"
                | "application/json"
                | "application/xml"
                | "image/svg+xml"
                | "application/manifest+json"
        );
    let text = if is_text { format!("{guess}; charset=utf-8") } else { guess.to_owned() };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_a_charset_and_unknown_files_are_octet_streams() {
        assert_eq!(media_type(Path::new("a.js")), "text/javascript; charset=utf-8");
        assert_eq!(media_type(Path::new("a.svg")), "image/svg+xml; charset=utf-8");
        assert_eq!(media_type(Path::new("a.woff2")), "font/woff2");
        assert_eq!(media_type(Path::new("a")), "application/octet-stream");
    }
}
