//! Bytes with long runs of zeros, which nobody has to keep: an artifact's machine code, and the
//! pages of a site's memory that nothing was written to.

use std::borrow::Cow;
use std::io::{self, Seek, SeekFrom, Write};

/// Zeros that are passed on at a time, in bytes.
const ZEROS: &[u8] = &[0; 64 << 10];

/// What file systems keep, or leave out, in bytes.
const BLOCK: usize = 4 << 10;

/// Passes on so many zeros.
pub fn zeros(mut count: u64, mut take: impl FnMut(&[u8])) {
    while count > 0 {
        let some = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
        take(&ZEROS[..some]);
        count -= some as u64;
    }
}

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

    /// The same, without those blocks that hold nothing but zeros. The place begins a block.
    pub fn add_blocks(&mut self, at: u64, bytes: &[u8]) {
        let mut run = 0..0;
        for block in bytes.chunks(BLOCK) {
            let end = run.end + block.len();
            if *block != ZEROS[..block.len()] {
                run.end = end;
                continue;
            }
            if !run.is_empty() {
                self.add(at + run.start as u64, bytes[run].to_vec());
            }
            run = end..end;
        }
        if !run.is_empty() {
            self.add(at + run.start as u64, bytes[run].to_vec());
        }
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
            zeros(*start - at, &mut take);
            take(bytes);
            at = *start + bytes.len() as u64;
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

    #[test]
    fn blocks_of_zeros_are_left_out_wherever_they_are() {
        for blocks in ["", "0", "1", "01", "10", "0110", "1001", "00100", "1101011"] {
            let filled = |block| if block == '1' { 7 } else { 0 };
            let mut bytes: Vec<u8> =
                blocks.chars().flat_map(|block| std::iter::repeat_n(filled(block), BLOCK)).collect();
            // The last block may be a part of one.
            bytes.truncate((blocks.len() * BLOCK).saturating_sub(10));
            let mut sparse = Sparse::from(&b"begin"[..]);
            sparse.add_blocks(BLOCK as u64, &bytes);
            sparse.add(100 * BLOCK as u64, &b"end"[..]);
            let mut all = Vec::new();
            sparse.each(|bytes| all.extend_from_slice(bytes));
            assert!(all[BLOCK..BLOCK + bytes.len()] == bytes, "{blocks}");
            let content = bytes.iter().filter(|byte| **byte != 0).count() as u64;
            assert_eq!(sparse.content_length(), 8 + content, "{blocks}");
        }
    }
}
