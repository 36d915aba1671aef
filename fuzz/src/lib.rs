//! What several targets need.

use xxhash_rust::xxh3::xxh3_128;

/// A file of the cache with the checksum that belongs to it, so that a target gets past that.
/// The last two bytes of `input` are the length of the metadata; `None` if there are fewer.
pub fn entry_with_checksum(input: &[u8]) -> Option<Vec<u8>> {
    let (content, length) = input.split_last_chunk::<2>()?;
    let mut entry = content.to_vec();
    entry.extend_from_slice(&u64::from(u16::from_le_bytes(*length)).to_le_bytes());
    let checksum = xxh3_128(&entry);
    entry.extend_from_slice(&checksum.to_le_bytes());
    entry.extend_from_slice(b"ssrcode1");
    Some(entry)
}
