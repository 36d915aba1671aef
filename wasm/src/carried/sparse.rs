//! Bytes with long runs of zeros, which nobody has to keep: an artifact's machine code.

use std::borrow::Cow;
use std::io::{self, Seek, SeekFrom, Write};

/// Zeros that are passed on at a time, in bytes.
const ZEROS: &[u8] = &[0; 64 << 10];

/// Bytes, of which those that are not named are zeros.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sparse<'a> {
    /// Where each part begins, and its bytes; in their order, and apart from each other.
    parts: Vec<(u64, Cow<'a, [u8]>)>,
}

impl<'a> Sparse<'a> {
    /// Adds bytes at a place behind all that are there, and zeros between.
    pub fn add(&mut self, at: u64, bytes: impl Into<Cow<'a, [u8]>>) {
        debug_assert!(at >= self.length(), "parts are in order");
        self.parts.push((at, bytes.into()));
    }

    /// How many bytes there are, with the zeros.
    pub fn length(&self) -> u64 {
        self.parts.last().map_or(0, |(start, bytes)| start + bytes.len() as u64)
    }

    /// How many bytes are not in a hole.
    pub fn content_length(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Passes on all bytes.
    pub fn each(&self, mut take: impl FnMut(&[u8])) {
        let mut at = 0;
        for (start, bytes) in &self.parts {
            while at < *start {
                let zeros =
                    &ZEROS[..usize::try_from(*start - at).map_or(ZEROS.len(), |n| n.min(ZEROS.len()))];
                take(zeros);
                at += zeros.len() as u64;
            }
            take(bytes);
            at += bytes.len() as u64;
        }
    }

    /// Writes them to a new file, with holes.
    ///
    /// # Errors
    /// If the file cannot be written to.
    pub fn write(&self, to: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut at = 0;
        for (start, bytes) in &self.parts {
            if *start > at {
                to.seek(SeekFrom::Current(i64::try_from(*start - at).map_err(io::Error::other)?))?;
            }
            to.write_all(bytes)?;
            at = start + bytes.len() as u64;
        }
        Ok(())
    }
}

impl<'a> From<&'a [u8]> for Sparse<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let mut sparse = Self::default();
        sparse.add(0, bytes);
        sparse
    }
}

impl From<Vec<u8>> for Sparse<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        let mut sparse = Self::default();
        sparse.add(0, bytes);
        sparse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_parts_is_zeros_and_takes_no_room() {
        let mut sparse = Sparse::from(&b"begin"[..]);
        sparse.add(200_000, &b"middle"[..]);
        sparse.add(200_006, vec![7; 3]);
        let mut all = Vec::new();
        sparse.each(|bytes| all.extend_from_slice(bytes));
        let mut right = vec![0; 200_009];
        right[..5].copy_from_slice(b"begin");
        right[200_000..].copy_from_slice(b"middle\x07\x07\x07");
        assert!(all == right);
        assert_eq!((sparse.length(), sparse.content_length()), (200_009, 14));
        let mut file = io::Cursor::new(Vec::new());
        sparse.write(&mut file).unwrap();
        assert!(file.into_inner() == right);
        Sparse::default().each(|_| panic!("no bytes"));
    }
}
