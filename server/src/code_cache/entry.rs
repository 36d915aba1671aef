//! A file of compiled code: what the engine maps into memory, and behind it what
//! the code is, with a checksum over both.
//!
//! ```text
//! code (an ELF file, as the engine serialises it) | About as JSON
//! | length of the JSON, 8 bytes | XXH3-128 of all before, 16 bytes | MAGIC
//! ```
//! Numbers are little-endian. The engine does not look behind its ELF file.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use xxhash_rust::xxh3::Xxh3;

use crate::compile::About;

const MAGIC: &[u8; 8] = b"ssrcode1";

/// Bytes behind the JSON.
const TAIL: u64 = 8 + 16 + 8;

/// Longer than any [`About`], in bytes.
const MOST_ABOUT: u64 = 64 << 10;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no file of compiled code, or of another version's.
    #[error("it is no compiled code of this version of ssr")]
    Foreign,
    /// It has changed since it was written.
    #[error("its checksum does not fit: it is damaged or incomplete")]
    Damaged,
}

/// Writes compiled code.
pub fn write(mut to: impl Write, about: &About, code: &[u8]) -> io::Result<()> {
    let about = serde_json::to_vec(about)?;
    let length = (about.len() as u64).to_le_bytes();
    let mut checksum = Xxh3::new();
    for bytes in [code, &about, &length] {
        checksum.update(bytes);
        to.write_all(bytes)?;
    }
    to.write_all(&checksum.digest128().to_le_bytes())?;
    to.write_all(MAGIC)?;
    to.flush()
}

/// Reads what a file's code is, after checking all of it.
pub fn check(file: &mut (impl Read + Seek)) -> Result<About, Unusable> {
    let about = peek(file)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut left = length - (TAIL - 8);
    let mut checksum = Xxh3::new();
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(Unusable::Damaged);
        }
        checksum.update(&buffer[..read]);
        left -= read as u64;
    }
    let mut expected = [0; 16];
    file.read_exact(&mut expected)?;
    match checksum.digest128() == u128::from_le_bytes(expected) {
        true => Ok(about),
        false => Err(Unusable::Damaged),
    }
}

/// Reads what an entry's code is after checking all of it, and the code.
pub fn parse(entry: &[u8]) -> Result<(About, &[u8]), Unusable> {
    let about = check(&mut Cursor::new(entry))?;
    // In front of what the checksum has covered.
    let behind = entry.len().checked_sub(TAIL as usize).ok_or(Unusable::Foreign)?;
    let mut about_length = [0; 8];
    about_length.copy_from_slice(&entry[behind..behind + 8]);
    let code = behind.checked_sub(u64::from_le_bytes(about_length) as usize).ok_or(Unusable::Damaged)?;
    Ok((about, &entry[..code]))
}

/// Reads what a file's code is, without checking the code.
pub fn peek(file: &mut (impl Read + Seek)) -> Result<About, Unusable> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_at = length.checked_sub(TAIL).ok_or(Unusable::Foreign)?;
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = [0; TAIL as usize];
    file.read_exact(&mut tail)?;
    if !tail.ends_with(MAGIC) {
        return Err(Unusable::Foreign);
    }
    let mut about_length = [0; 8];
    about_length.copy_from_slice(&tail[..8]);
    let about_length = u64::from_le_bytes(about_length);
    let about_at = tail_at.checked_sub(about_length).filter(|_| about_length <= MOST_ABOUT);
    file.seek(SeekFrom::Start(about_at.ok_or(Unusable::Damaged)?))?;
    let mut about = vec![0; about_length as usize];
    file.read_exact(&mut about)?;
    serde_json::from_slice(&about).map_err(|_| Unusable::Foreign)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::compile::Key;
    use crate::module::SiteSection;
    use crate::time_limit::Interruption;

    fn about() -> About {
        About {
            key: Key { module: "12".to_owned(), engine: "34".to_owned() },
            name: "ssr.wasm".to_owned(),
            target: "amd64".to_owned(),
            render_memory: None,
            interruption: Interruption::Signal,
            site: SiteSection { abi: 1, built_by: "0.1.0".to_owned() },
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &about(), &[7; 100_000]).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(check(&mut file(&written())).unwrap(), about());
        assert_eq!(peek(&mut file(&written())).unwrap(), about());
        assert_eq!(parse(&written()).unwrap(), (about(), &[7; 100_000][..]));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = written();
        let places = (0..bytes.len()).step_by(9_973).chain(bytes.len() - 250..bytes.len());
        for place in places {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(check(&mut file(&changed)).is_err(), "byte {place}");
            assert!(parse(&changed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_kind_is_refused() {
        let bytes = written();
        for length in [0, 1, 31, 32, 50_000, bytes.len() - 1] {
            assert!(check(&mut file(&bytes[..length])).is_err(), "{length} bytes");
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(matches!(check(&mut file(&[0x7f; 4096])), Err(Unusable::Foreign)));
        let mut long = bytes.clone();
        let about_length = long.len() - 32;
        long[about_length..about_length + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(check(&mut file(&long)), Err(Unusable::Damaged)));
    }
}
