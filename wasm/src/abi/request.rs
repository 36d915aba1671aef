//! A request, as a guest reads it from its memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::sync::mpsc;

/// A request's body as it arrives. It ends with an error if the client does not send all of it.
pub type BodyStream = mpsc::Receiver<std::io::Result<Bytes>>;

/// A request to render.
#[derive(Debug)]
pub struct RenderRequest<'a> {
    /// The id that its log lines carry.
    pub id: &'a str,
    /// The address of the client, or of its proxy.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The headers, `name\nvalue\n` each.
    pub headers: &'a str,
    /// The body, if any, unless it is a stream.
    pub body: Option<&'a [u8]>,
}

impl RenderRequest<'_> {
    /// The fields that `ssr_render` takes; `env` is the site's environment,
    /// `NAME=value\0` each.
    pub fn encode(&self, env: &str) -> Vec<u8> {
        let texts = [self.method, self.url, self.path, self.headers];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut input = Vec::with_capacity(24 + length + self.body.map_or(0, <[u8]>::len) + env.len());
        for text in texts {
            encode_field(&mut input, Some(text.as_bytes()));
        }
        encode_field(&mut input, self.body);
        encode_field(&mut input, Some(env.as_bytes()));
        input
    }
}

/// Headers as the fields have them, `name\nvalue\n` each. Bytes beyond ASCII are Latin-1, as in HTTP.
pub fn flatten<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut flat = String::with_capacity(512);
    for (name, value) in headers {
        flat.push_str(name);
        flat.push('\n');
        flat.extend(value.iter().map(|&byte| char::from(byte)));
        flat.push('\n');
    }
    flat
}

/// Appends a field: its length as a little-endian `u32` and its bytes, or the length
/// `u32::MAX` alone for an absent one.
pub fn encode_field(input: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(u32::MAX, |field| u32::try_from(field.len()).unwrap_or(u32::MAX));
    input.extend_from_slice(&length.to_le_bytes());
    input.extend_from_slice(field.unwrap_or_default());
}

/// The fields of an encoded request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The method.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// Path and query.
    pub path: &'a str,
    headers: &'a str,
    /// The body, if any.
    pub body: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Reads what [`RenderRequest::encode`] has written. What is missing is empty.
    pub fn decode(mut input: &'a [u8]) -> Self {
        let mut field = || -> Option<&'a [u8]> {
            let (length, rest) = input.split_first_chunk()?;
            let length = u32::from_le_bytes(*length);
            let length = if length == u32::MAX { 0 } else { length as usize };
            let (field, rest_of_input) = rest.split_at_checked(length)?;
            let absent = *input.first_chunk::<4>()? == [0xff; 4];
            input = rest_of_input;
            (!absent).then_some(field)
        };
        let mut text = || field().and_then(|field| std::str::from_utf8(field).ok()).unwrap_or_default();
        let [method, url, path, headers] = [text(), text(), text(), text()];
        Self { method, url, path, headers, body: field() }
    }

    /// The path, and the query without its question mark.
    pub fn path_and_query(&self) -> (&'a str, &'a str) {
        self.path.split_once('?').unwrap_or((self.path, ""))
    }

    /// Names, in lower case, and values of its headers. Characters of values are Latin-1.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut lines = self.headers.split('\n');
        std::iter::from_fn(move || Some((lines.next().filter(|name| !name.is_empty())?, lines.next()?)))
    }

    /// The headers, each name once: further values follow after a comma, of cookies after a
    /// semicolon (RFC 9110, 5.3; RFC 9113, 8.2.3).
    pub fn joined_headers(&self) -> BTreeMap<&'a str, String> {
        let mut joined = BTreeMap::<_, String>::new();
        for (name, value) in self.headers() {
            let separator = if name == "cookie" { "; " } else { ", " };
            joined
                .entry(name)
                .and_modify(|values| *values = format!("{values}{separator}{value}"))
                .or_insert_with(|| value.to_owned());
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_length_prefixed_and_an_absent_body_differs_from_an_empty_one() {
        let request = RenderRequest {
            id: "1",
            client: None,
            method: "GET",
            url: "u",
            path: "/",
            headers: "",
            body: None,
        };
        let absent = request.encode("A=1\0");
        assert_eq!(&absent[..7], b"\x03\0\0\0GET");
        assert_eq!(&absent[absent.len() - 12..], b"\xff\xff\xff\xff\x04\0\0\0A=1\0");
        let empty = RenderRequest { body: Some(b""), ..request }.encode("A=1\0");
        assert_eq!(&empty[empty.len() - 12..], b"\0\0\0\0\x04\0\0\0A=1\0");
        assert_eq!(Fields::decode(&absent).body, None);
        assert_eq!(Fields::decode(&empty).body, Some(&b""[..]));
    }

    #[test]
    fn headers_of_one_name_are_joined() {
        let headers = "cookie\na=1\naccept\na\ncookie\nb=2\naccept\nb\n";
        let fields = Fields { headers, ..Fields::default() };
        let right = [("accept", "a, b".to_owned()), ("cookie", "a=1; b=2".to_owned())];
        assert_eq!(fields.joined_headers(), BTreeMap::from(right));
    }

    #[test]
    fn headers_are_lines_of_latin_1() {
        assert_eq!(flatten([("host", &b"h"[..]), ("x", b"caf\xe9")]), "host\nh\nx\ncafé\n");
        assert_eq!(flatten([]), "");
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let request = RenderRequest {
            id: "1",
            client: None,
            method: "POST",
            url: "http://h/a?b",
            path: "/a?b",
            headers: "host\nh\nx-empty\n\ncookie\na=1\n",
            body: Some(b"\0body"),
        };
        let encoded = request.encode("A=1\0");
        let fields = Fields::decode(&encoded);
        assert_eq!((fields.method, fields.url, fields.path), ("POST", "http://h/a?b", "/a?b"));
        let headers: Vec<_> = fields.headers().collect();
        assert_eq!(headers, [("host", "h"), ("x-empty", ""), ("cookie", "a=1")]);
        assert_eq!(fields.body, Some(&b"\0body"[..]));
        assert_eq!(Fields::decode(b"\x03\0"), Fields::default());
    }
}
