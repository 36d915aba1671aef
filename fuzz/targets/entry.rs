//! A file of the cache: as it comes, and with the checksum that belongs to it.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ssr_code_cache::entry;
use xxhash_rust::xxh3::xxh3_128;

fn read(bytes: &[u8]) {
    let peeked = entry::peek(&mut Cursor::new(bytes));
    let checked = entry::check(&mut Cursor::new(bytes));
    let parsed = entry::parse(bytes);
    assert_eq!(checked.is_ok(), parsed.is_ok());
    if let (Ok(checked), Ok((metadata, code))) = (checked, parsed) {
        assert_eq!(Some(&checked), peeked.ok().as_ref());
        assert_eq!(checked, metadata);
        assert!(code.len() < bytes.len());
        let mut again = Vec::new();
        entry::write(&mut again, &metadata, code).expect("it is written to memory");
        assert_eq!(entry::parse(&again).expect("what was written"), (metadata, code));
    }
}

// The last two bytes are the length of the metadata.
fuzz_target!(|input: &[u8]| {
    read(input);
    let Some((content, length)) = input.split_last_chunk::<2>() else { return };
    let mut entry = content.to_vec();
    entry.extend_from_slice(&u64::from(u16::from_le_bytes(*length)).to_le_bytes());
    let checksum = xxh3_128(&entry);
    entry.extend_from_slice(&checksum.to_le_bytes());
    entry.extend_from_slice(b"ssrcode1");
    read(&entry);
});
