//! URL parsing for the web APIs `URL` and `URLSearchParams`: converts the `url` crate's
//! results to the lists that `js/url` expects.

use url::{Position, Url, form_urlencoded, quirks};

/// `href, origin, protocol, username, password, host, hostname, port, pathname,
/// search, hash`, as the WHATWG URL standard defines them.
pub type Parts = [String; 11];

/// Parses `input`, relative to `base` if given. `None` if the result is not a
/// valid URL.
pub fn parse(input: &str, base: Option<&str>) -> Option<Parts> {
    let base = match base {
        Some(base) => Some(Url::parse(base).ok()?),
        None => None,
    };
    let url = Url::options().base_url(base.as_ref()).parse(input).ok()?;
    Some(parts(&url))
}

/// Sets one part of the URL `href`, like an assignment to the property `part`.
/// `None` if the value is rejected; for every part but `href`, the caller then
/// leaves the URL unchanged.
pub fn set(href: &str, part: &str, value: &str) -> Option<Parts> {
    let mut url = Url::parse(href).ok()?;
    match part {
        "href" => quirks::set_href(&mut url, value).ok()?,
        "protocol" => quirks::set_protocol(&mut url, value).ok()?,
        "username" => quirks::set_username(&mut url, value).ok()?,
        "password" => quirks::set_password(&mut url, value).ok()?,
        "host" => quirks::set_host(&mut url, value).ok()?,
        "hostname" => quirks::set_hostname(&mut url, value).ok()?,
        "port" => quirks::set_port(&mut url, value).ok()?,
        "pathname" => {
            let has_no_host = !url.has_authority() && !url.cannot_be_a_base();
            quirks::set_pathname(&mut url, value);
            // A path that begins with two slashes is kept apart from a host by "/.", which
            // the crate forgets: https://github.com/servo/rust-url/issues/984
            if has_no_host {
                let path = &url[Position::BeforePath..];
                let separator = if path.starts_with("//") { "/." } else { "" };
                url = Url::parse(&format!("{}:{separator}{path}", url.scheme())).ok()?;
            }
        }
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => return None,
    }
    Some(parts(&url))
}

/// The names and values of a query.
pub fn parse_form(query: &str) -> Vec<Vec<String>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.map(|(name, value)| vec![name.into_owned(), value.into_owned()]).collect()
}

/// The query with these names and values, in turns.
pub fn serialize_form(pairs: &[String]) -> String {
    let pairs = pairs.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn parts(url: &Url) -> Parts {
    [
        quirks::href(url).to_owned(),
        quirks::origin(url),
        quirks::protocol(url).to_owned(),
        quirks::username(url).to_owned(),
        quirks::password(url).to_owned(),
        quirks::host(url).to_owned(),
        quirks::hostname(url).to_owned(),
        quirks::port(url).to_owned(),
        quirks::pathname(url).to_owned(),
        quirks::search(url).to_owned(),
        quirks::hash(url).to_owned(),
    ]
}
