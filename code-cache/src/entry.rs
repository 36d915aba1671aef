//! A file of compiled code: what wasmtime maps, followed by metadata and a checksum over
//! both.
//!
//! ```text
//! code (an ELF file, as wasmtime serializes it) | EntryMetadata as JSON
//! | length of the JSON, 8 bytes | XXH3-128 of everything before, 16 bytes | MAGIC
//! ```
//! Numbers are little-endian. wasmtime ignores what follows its ELF file.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use ssr_wasm::carried::sparse::{Sparse, zeros};
use xxhash_rust::xxh3::Xxh3;

use crate::metadata::EntryMetadata;

const MAGIC: &[u8; 8] = b"ssrcode1";

/// Bytes after what is checked.
const CHECKSUM_AND_MAGIC: u64 = 16 + 8;

/// Bytes after the JSON.
const TAIL: u64 = 8 + CHECKSUM_AND_MAGIC;

/// Longest metadata that is read, in bytes.
const MAX_METADATA: u64 = 64 << 10;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is not a file of compiled code, or one of another version.
    #[error("it was not compiled by this version of ssr")]
    Foreign,
    /// It has changed since it was written.
    #[error("its checksum is wrong: it is damaged or incomplete")]
    Damaged,
}

/// Writes compiled code.
pub fn write(mut to: impl Write + Seek, metadata: &EntryMetadata, code: &Sparse<'_>) -> io::Result<()> {
    let metadata = serde_json::to_vec(metadata)?;
    let length = (metadata.len() as u64).to_le_bytes();
    let mut checksum = Xxh3::new();
    code.each(|bytes| checksum.update(bytes));
    code.write(&mut to)?;
    for bytes in [&metadata[..], &length] {
        checksum.update(bytes);
        to.write_all(bytes)?;
    }
    to.write_all(&checksum.digest128().to_le_bytes())?;
    to.write_all(MAGIC)?;
    to.flush()
}

/// The size in bytes of what [`write`] writes, without holes.
pub fn size(metadata: &EntryMetadata, code: &Sparse<'_>) -> u64 {
    let metadata = serde_json::to_vec(metadata).map_or(MAX_METADATA, |metadata| metadata.len() as u64);
    code.content_length() + metadata + TAIL
}

/// Reads a file's metadata after verifying the checksum. Holes are not read: the kernel would
/// keep their zeros, and give them to whoever maps the file.
pub fn check(file: &File) -> Result<EntryMetadata, Unusable> {
    let metadata = peek(&mut &*file)?;
    let end = file.metadata()?.len() - CHECKSUM_AND_MAGIC;
    let mut checksum = Xxh3::new();
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < end {
        let data = seek(file, at, Whence::SeekData).unwrap_or(at).clamp(at, end);
        zeros(data - at, |bytes| checksum.update(bytes));
        at = data;
        let hole = seek(file, at, Whence::SeekHole).unwrap_or(end).clamp(at, end);
        while at < hole {
            let length = buffer.len().min(usize::try_from(hole - at).unwrap_or(usize::MAX));
            file.read_exact_at(&mut buffer[..length], at)?;
            checksum.update(&buffer[..length]);
            at += length as u64;
        }
    }
    let mut expected = [0; 16];
    file.read_exact_at(&mut expected, end)?;
    match checksum.digest128() == u128::from_le_bytes(expected) {
        true => Ok(metadata),
        false => Err(Unusable::Damaged),
    }
}

/// Where the file's next data begins or ends. `None` if its file system does not tell.
fn seek(file: &File, from: u64, what: Whence) -> Option<u64> {
    match lseek(file.as_raw_fd(), i64::try_from(from).ok()?, what) {
        Ok(place) => u64::try_from(place).ok(),
        // No data, up to the end.
        Err(Errno::ENXIO) => Some(u64::MAX),
        Err(_) => None,
    }
}

/// Splits an entry into metadata and code after verifying the checksum.
pub fn parse(entry: &[u8]) -> Result<(EntryMetadata, &[u8]), Unusable> {
    let metadata = peek(&mut Cursor::new(entry))?;
    let damaged = || Unusable::Damaged;
    let (checked, rest) = entry.split_last_chunk::<{ CHECKSUM_AND_MAGIC as usize }>().ok_or_else(damaged)?;
    let mut checksum = Xxh3::new();
    checksum.update(checked);
    if !rest.starts_with(&checksum.digest128().to_le_bytes()) {
        return Err(Unusable::Damaged);
    }
    let (rest, length) = checked.split_last_chunk().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok();
    let code = length.and_then(|length| rest.len().checked_sub(length)).ok_or_else(damaged)?;
    Ok((metadata, &entry[..code]))
}

/// Reads a file's metadata without verifying the checksum.
pub fn peek(file: &mut (impl Read + Seek)) -> Result<EntryMetadata, Unusable> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_at = length.checked_sub(TAIL).ok_or(Unusable::Foreign)?;
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = [0; TAIL as usize];
    file.read_exact(&mut tail)?;
    if !tail.ends_with(MAGIC) {
        return Err(Unusable::Foreign);
    }
    let mut metadata_length = [0; 8];
    metadata_length.copy_from_slice(&tail[..8]);
    let metadata_length = u64::from_le_bytes(metadata_length);
    let metadata_at = tail_at.checked_sub(metadata_length).filter(|_| metadata_length <= MAX_METADATA);
    file.seek(SeekFrom::Start(metadata_at.ok_or(Unusable::Damaged)?))?;
    let mut metadata = vec![0; metadata_length as usize];
    file.read_exact(&mut metadata)?;
    serde_json::from_slice(&metadata).map_err(|_| Unusable::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Key;
    use ssr_wasm::detect::{Kind, SiteSection};
    use ssr_wasm::interrupt::Interruption;

    fn metadata() -> EntryMetadata {
        EntryMetadata {
            key: Key { module: "12".to_owned(), engine: "34".to_owned() },
            name: "ssr.wasm".to_owned(),
            target: "amd64".to_owned(),
            render_memory_limit: None,
            interruption: Interruption::Signal,
            kind: Kind::Site(SiteSection { abi: 1, built_by: "0.1.0".to_owned() }),
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn written() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes, &metadata(), &vec![7; 100_000].into()).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(check(&file(&written())).unwrap(), metadata());
        assert_eq!(peek(&mut file(&written())).unwrap(), metadata());
        assert_eq!(parse(&written()).unwrap(), (metadata(), &[7; 100_000][..]));
        assert_eq!(size(&metadata(), &vec![7; 100_000].into()), written().len() as u64);
    }

    #[test]
    fn zeros_are_holes_that_need_no_room() {
        let mut code = Sparse::from(vec![7; 5_000]);
        code.add(1 << 20, vec![7; 10]);
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &metadata(), &code).unwrap();
        assert_eq!(check(&file).unwrap(), metadata());
        let length = file.metadata().unwrap().len();
        assert!(length > 1 << 20 && size(&metadata(), &code) < 30_000);
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let mut whole = Vec::new();
        code.each(|bytes| whole.extend_from_slice(bytes));
        assert_eq!(parse(&bytes).unwrap(), (metadata(), &whole[..]));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = written();
        let places = (0..bytes.len()).step_by(9_973).chain(bytes.len() - 250..bytes.len());
        for place in places {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(check(&file(&changed)).is_err(), "byte {place}");
            assert!(parse(&changed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn truncated_and_foreign_files_are_rejected() {
        let bytes = written();
        for length in [0, 1, 31, 32, 50_000, bytes.len() - 1] {
            assert!(check(&file(&bytes[..length])).is_err(), "{length} bytes");
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(matches!(check(&file(&[0x7f; 4096])), Err(Unusable::Foreign)));
        let mut long = bytes.clone();
        let metadata_length = long.len() - 32;
        long[metadata_length..metadata_length + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(check(&file(&long)), Err(Unusable::Damaged)));
    }
}
