//! Carrying compiled code from one machine to another: a file of entries, signed
//! with a key that the other machine was told to trust.
//!
//! ```text
//! PREFIX | public key, 32 bytes | for each entry: its length, 8 bytes, and the entry, as
//! `entry` has it | 0, 8 bytes | Ed25519 signature of all before, 64 bytes
//! ```
//! Numbers are little-endian. The public key only says which one to verify with:
//! it has to be a trusted one. The prefix sets the signature apart from any other
//! that is made with the same key.

pub mod key;

use std::io;

use super::entry::{self, Unusable};
use super::{CacheError, CodeCache};
use crate::compile::About;
use crate::engine::Target;
use key::{PrivateKey, PublicKey};

/// What every file begins with.
const PREFIX: &[u8] = b"containerd-shim-ssr code 1\n";

/// The most bytes of a file.
pub const MOST: usize = 256 << 20;

/// The most bytes of the entries in it.
pub const MOST_ENTRIES: u64 = 255 << 20;

const PUBLIC_KEY: usize = 32;
const SIGNATURE: usize = 64;

/// Why compiled code from elsewhere is refused.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It is something else.
    #[error("it is no file that `ssr cache export` has made, or one of another version of ssr")]
    Foreign,
    /// It was signed by somebody whom this node does not know, or so it says.
    #[error(
        "it is signed with the key '{signer}', which is not among those that this node trusts (trusted-keys in \
         the node's configuration)"
    )]
    Untrusted {
        /// The key that it names.
        signer: String,
    },
    /// It is not what was signed.
    #[error("its signature does not fit: it is damaged or incomplete, or was changed; copy it again")]
    Signature,
    /// It was signed, but makes no sense.
    #[error("entry {number} in it cannot be used: {reason}")]
    Entry {
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: Unusable,
    },
    /// It is for other machines.
    #[error(
        "it holds code for {holds}, and this machine runs code for {runs}; export it with --target {runs} from a \
         cache that has it (`ssr cache add --target {runs} …`)"
    )]
    Target {
        /// The targets in it.
        holds: String,
        /// This machine's.
        runs: &'static str,
    },
    /// Another version of the engine has made it.
    #[error(
        "'{name}' in it was compiled by another version of ssr than this one ({}); add it again and export it \
         with this version", env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// Which of the modules.
        name: String,
    },
    /// The cache would have to give up some of it for the rest.
    #[error(
        "it holds {needs} bytes of code, and the cache keeps at most {size}; raise its size in the node's configuration"
    )]
    Size {
        /// The bytes in it.
        needs: u64,
        /// The most bytes of the cache.
        size: u64,
    },
    /// It cannot be written to the cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What an import has done.
#[derive(Debug)]
pub struct Imported {
    /// The code that is in the cache now, and its size in bytes.
    pub added: Vec<(About, u64)>,
    /// What is for other machines and was left out.
    pub skipped: Vec<About>,
}

/// Puts entries, as they are in files of a cache, into one signed file.
pub fn pack(entries: &[Vec<u8>], key: &PrivateKey) -> Vec<u8> {
    let size: usize = entries.iter().map(|entry| 8 + entry.len()).sum();
    let mut file = Vec::with_capacity(PREFIX.len() + PUBLIC_KEY + size + 8 + SIGNATURE);
    file.extend_from_slice(PREFIX);
    file.extend_from_slice(key.public().as_bytes());
    for entry in entries {
        file.extend_from_slice(&(entry.len() as u64).to_le_bytes());
        file.extend_from_slice(entry);
    }
    file.extend_from_slice(&0_u64.to_le_bytes());
    let signature = key.sign(&file);
    file.extend_from_slice(&signature);
    file
}

/// Verifies a signed file: all of it, before anything in it is looked at.
fn verify<'a>(file: &'a [u8], trusted: &[PublicKey]) -> Result<&'a [u8], TransferError> {
    let signer = file.strip_prefix(PREFIX).and_then(|rest| rest.first_chunk::<PUBLIC_KEY>());
    let signer = signer.ok_or(TransferError::Foreign)?;
    let Some(trusted) = trusted.iter().find(|key| key.as_bytes() == signer) else {
        use base64ct::{Base64, Encoding as _};
        return Err(TransferError::Untrusted { signer: Base64::encode_string(signer) });
    };
    let (signed, signature) = file.split_last_chunk::<SIGNATURE>().ok_or(TransferError::Signature)?;
    match trusted.has_signed(signed, signature) {
        // A file so short has a signature that does not fit.
        true => signed.get(PREFIX.len() + PUBLIC_KEY..).ok_or(TransferError::Signature),
        false => Err(TransferError::Signature),
    }
}

/// Splits what was verified, and checks each entry.
fn entries(mut signed: &[u8]) -> Result<Vec<(About, &[u8])>, TransferError> {
    let mut entries = Vec::new();
    loop {
        let number = entries.len() + 1;
        let damaged = || TransferError::Entry { number, reason: Unusable::Damaged };
        let (length, rest) = signed.split_first_chunk().ok_or_else(damaged)?;
        let length = u64::from_le_bytes(*length);
        if length == 0 {
            return if rest.is_empty() { Ok(entries) } else { Err(damaged()) };
        }
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        signed = rest;
        let (about, code) = entry::parse(bytes).map_err(|reason| TransferError::Entry { number, reason })?;
        // It becomes a file's name.
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if about.key.module.len() != 64 || !about.key.module.bytes().all(hexadecimal) {
            return Err(damaged());
        }
        entries.push((about, code));
    }
}

/// Adds a signed file's code to a cache: all that this machine runs, if there is
/// any, or nothing.
pub fn import(cache: &CodeCache, file: &[u8], trusted: &[PublicKey]) -> Result<Imported, TransferError> {
    let entries = entries(verify(file, trusted)?)?;
    let here = Target::of_host();
    let (fit, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(about, _)| about.target().is_some() && about.target() == here);
    if fit.is_empty() {
        let mut holds: Vec<_> = others.iter().map(|(about, _)| about.target.as_str()).collect();
        holds.sort_unstable();
        holds.dedup();
        let holds = if holds.is_empty() { "nothing".to_owned() } else { holds.join(", ") };
        return Err(TransferError::Target { holds, runs: here.map_or("none of them", Target::name) });
    }
    if let Some((about, _)) = fit.iter().find(|(about, _)| !about.is_current()) {
        return Err(TransferError::Version { name: about.name.clone() });
    }
    let needs = fit.iter().map(|(_, code)| code.len() as u64).sum();
    if needs > cache.size() {
        return Err(TransferError::Size { needs, size: cache.size() });
    }
    let _lock = cache.lock()?;
    let mut added = Vec::new();
    for (about, code) in fit {
        let file = cache.insert(&about, code)?;
        let size = file.metadata().map_or(code.len() as u64, |metadata| metadata.len());
        added.push((about, size));
    }
    Ok(Imported { added, skipped: others.into_iter().map(|(about, _)| about).collect() })
}

/// Reads an entry for [`pack`], and checks it.
pub fn read_entry(mut file: impl io::Read) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    entry::parse(&bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
