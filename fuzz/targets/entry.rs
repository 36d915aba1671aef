//! A file of the cache: as it comes, and with the checksum that belongs to it.
#![no_main]

use std::fs::File;
use std::io::{Cursor, Write as _};

use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MemFdCreateFlag, memfd_create};
use ssr_code_cache::entry;
use ssr_fuzz::entry_with_checksum;

/// A file in memory.
fn file_of(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create(c"entry", MemFdCreateFlag::empty()).expect("a file"));
    file.write_all(bytes).expect("it is written to memory");
    file
}

fn read(bytes: &[u8]) {
    let peeked = entry::peek(&mut Cursor::new(bytes));
    let checked = entry::check(&file_of(bytes));
    let parsed = entry::parse(bytes);
    assert_eq!(checked.is_ok(), parsed.is_ok());
    if let (Ok(checked), Ok((metadata, code))) = (checked, parsed) {
        assert_eq!(Some(&checked), peeked.ok().as_ref());
        assert_eq!(checked, metadata);
        assert!(code.len() < bytes.len());
        let mut again = Cursor::new(Vec::new());
        entry::write(&mut again, &metadata, &code.into()).expect("it is written to memory");
        assert_eq!(entry::parse(again.get_ref()).expect("what was written"), (metadata, code));
    }
}

fuzz_target!(|input: &[u8]| {
    read(input);
    if let Some(entry) = entry_with_checksum(input) {
        read(&entry);
    }
});
