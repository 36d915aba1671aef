//! The encoding of what the host hands in: fields, each a little-endian `u32`
//! length and so many bytes; the length `u32::MAX` says that the field is absent.

use std::borrow::Cow;

const ABSENT: u32 = u32::MAX;

/// Reads fields one after the other. The host wrote them, so there is nothing
/// to recover from: what is missing reads as absent.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

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

    pub fn optional_text(&mut self) -> Option<Cow<'a, str>> {
        self.optional_bytes().map(String::from_utf8_lossy)
    }

    pub fn text(&mut self) -> Cow<'a, str> {
        self.optional_text().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order_and_absence_is_not_emptiness() {
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
