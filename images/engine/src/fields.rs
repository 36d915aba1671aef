//! The encoding of the host's input: a sequence of fields, each a little-endian
//! `u32` length followed by that many bytes. The length `u32::MAX` marks an
//! absent field.

use std::borrow::Cow;

const ABSENT: u32 = u32::MAX;

/// Reads fields in order. The host is trusted to encode them correctly, so there
/// is no error handling: a missing or truncated field reads as absent.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field, or `None` if it is absent.
    pub fn optional_bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        let length = u32::from_le_bytes(*length);
        if length == ABSENT {
            return None;
        }
        let (field, rest) = rest.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(field)
    }

    /// The next field as text, or `None` if it is absent. Invalid UTF-8 is replaced.
    pub fn optional_text(&mut self) -> Option<Cow<'a, str>> {
        self.optional_bytes().map(String::from_utf8_lossy)
    }

    /// The next field as text, empty if it is absent.
    pub fn text(&mut self) -> Cow<'a, str> {
        self.optional_text().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_absent_differs_from_empty() {
        let mut bytes = Vec::new();
        for field in [Some("GET"), None, Some("")] {
            bytes.extend(field.map_or(ABSENT, |f| f.len() as u32).to_le_bytes());
            bytes.extend(field.unwrap_or_default().as_bytes());
        }
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.text(), "GET");
        assert_eq!(fields.optional_bytes(), None);
        assert_eq!(fields.optional_bytes(), Some(&b""[..]));
        assert_eq!(fields.optional_bytes(), None);
    }
}
