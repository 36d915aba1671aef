//! A request, as a guest reads it from its memory.

/// A request to render.
#[derive(Debug)]
pub struct RenderRequest<'a> {
    /// The id that its log lines carry.
    pub id: &'a str,
    /// The method.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The headers, `name\nvalue\n` each.
    pub headers: &'a str,
    /// The body, if any.
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

/// Appends a field: its length as a little-endian `u32` and its bytes, or the length
/// `u32::MAX` alone for an absent one.
pub fn encode_field(input: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(u32::MAX, |field| u32::try_from(field.len()).unwrap_or(u32::MAX));
    input.extend_from_slice(&length.to_le_bytes());
    input.extend_from_slice(field.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_length_prefixed_and_an_absent_body_differs_from_an_empty_one() {
        let request = RenderRequest { id: "1", method: "GET", url: "u", path: "/", headers: "", body: None };
        let absent = request.encode("A=1\0");
        assert_eq!(&absent[..7], b"\x03\0\0\0GET");
        assert_eq!(&absent[absent.len() - 12..], b"\xff\xff\xff\xff\x04\0\0\0A=1\0");
        let empty = RenderRequest { body: Some(b""), ..request }.encode("A=1\0");
        assert_eq!(&empty[empty.len() - 12..], b"\0\0\0\0\x04\0\0\0A=1\0");
    }
}
