//! Signed bundles, which carry compiled code from one machine to another: a file of
//! entries, signed with a key that the other machine was told to trust.
//!
//! ```text
//! PREFIX | public key, 32 bytes | for each entry: its length, 8 bytes, and the entry in the
//! form of `entry` | 0, 8 bytes | Ed25519 signature of everything before, 64 bytes
//! ```
//! Numbers are little-endian. The public key only says which trusted key to verify with.
//! The prefix keeps the signature apart from any other made with the same key.

pub mod key;

use std::io;

use ssr_wasm::carried::sparse::Sparse;
use ssr_wasm::target::Target;

use crate::cache::{CacheError, CodeCache};
use crate::entry::{self, Unusable};
use crate::metadata::EntryMetadata;
use key::{PrivateKey, PublicKey};

/// The first bytes of every bundle.
const PREFIX: &[u8] = b"containerd-shim-ssr code 1\n";

/// Largest bundle, in bytes.
pub const MAX_SIZE: usize = 256 << 20;

/// Most bytes of entries in a bundle.
pub const MAX_ENTRIES_SIZE: u64 = 255 << 20;

const PUBLIC_KEY: usize = 32;
const SIGNATURE: usize = 64;

/// Why a bundle is rejected.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is not a bundle of this version.
    #[error("it was not made by `ssr cache export` of this version of ssr")]
    Foreign,
    /// It names a key that this node does not trust.
    #[error(
        "it is signed with the key '{signer}', which this node does not trust; trusted-keys in the node's \
         configuration lists those it does"
    )]
    Untrusted {
        /// The key that it names, in base64.
        signer: String,
    },
    /// It is not what was signed.
    #[error("its signature is wrong: it is damaged, incomplete or was changed; copy it again")]
    Signature,
    /// The signature is right, but an entry is not.
    #[error("entry {number} in it cannot be used: {reason}")]
    Entry {
        /// The entry's number, from 1.
        number: usize,
        /// Why.
        reason: Unusable,
    },
    /// It is for other machines only.
    #[error(
        "it holds code for {holds}, but this machine runs code for {runs}; export it with --target {runs} from a \
         cache that has such code (`ssr cache add --target {runs} …`)"
    )]
    Target {
        /// The targets in it.
        holds: String,
        /// This machine's.
        runs: &'static str,
    },
    /// Another version of the engine made it.
    #[error(
        "'{name}' in it was compiled by another version of ssr, and this is {}; add it again and export it \
         with this version", env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The module's name.
        name: String,
    },
    /// The cache cannot hold all of it.
    #[error(
        "it holds {needs} bytes of code, but the cache's size limit is {size}; raise it in the node's configuration"
    )]
    Size {
        /// Bytes of code in it.
        needs: u64,
        /// The cache's size limit in bytes.
        size: u64,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The code that was added to the cache, with its size in bytes.
    pub added: Vec<(EntryMetadata, u64)>,
    /// Code for other machines, which was skipped.
    pub skipped: Vec<EntryMetadata>,
}

/// Packs entries, as [`read_entry`] returns them, into a signed bundle.
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

/// Verifies the signature over the whole bundle, before anything in it is parsed, and
/// returns the entries.
fn verify<'a>(file: &'a [u8], trusted: &[PublicKey]) -> Result<&'a [u8], BundleError> {
    let signer = file.strip_prefix(PREFIX).and_then(|rest| rest.first_chunk::<PUBLIC_KEY>());
    let signer = signer.ok_or(BundleError::Foreign)?;
    let Some(trusted) = trusted.iter().find(|key| key.as_bytes() == signer) else {
        use base64ct::{Base64, Encoding as _};
        return Err(BundleError::Untrusted { signer: Base64::encode_string(signer) });
    };
    let (signed, signature) = file.split_last_chunk::<SIGNATURE>().ok_or(BundleError::Signature)?;
    match trusted.has_signed(signed, signature) {
        // Cannot be that short: the signature covers prefix and key.
        true => signed.get(PREFIX.len() + PUBLIC_KEY..).ok_or(BundleError::Signature),
        false => Err(BundleError::Signature),
    }
}

/// Splits verified bytes into entries and checks each of them.
fn entries(mut signed: &[u8]) -> Result<Vec<(EntryMetadata, &[u8])>, BundleError> {
    let mut entries = Vec::new();
    loop {
        let number = entries.len() + 1;
        let damaged = || BundleError::Entry { number, reason: Unusable::Damaged };
        let (length, rest) = signed.split_first_chunk().ok_or_else(damaged)?;
        let length = u64::from_le_bytes(*length);
        if length == 0 {
            return if rest.is_empty() { Ok(entries) } else { Err(damaged()) };
        }
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        signed = rest;
        let (metadata, code) = entry::parse(bytes).map_err(|reason| BundleError::Entry { number, reason })?;
        // It becomes a file name.
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if metadata.key.module.len() != 64 || !metadata.key.module.bytes().all(hexadecimal) {
            return Err(damaged());
        }
        entries.push((metadata, code));
    }
}

/// Adds a bundle's code to a cache: all that this machine can run, or nothing. A bundle
/// without any such code is an error.
pub fn import(cache: &CodeCache, file: &[u8], trusted: &[PublicKey]) -> Result<Imported, BundleError> {
    let entries = entries(verify(file, trusted)?)?;
    let here = Target::of_host();
    let (usable, others): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(metadata, _)| metadata.target().is_some() && metadata.target() == here);
    if usable.is_empty() {
        let mut holds: Vec<_> = others.iter().map(|(metadata, _)| metadata.target.as_str()).collect();
        holds.sort_unstable();
        holds.dedup();
        let holds = if holds.is_empty() { "nothing".to_owned() } else { holds.join(", ") };
        return Err(BundleError::Target { holds, runs: here.map_or("none of them", Target::name) });
    }
    if let Some((metadata, _)) = usable.iter().find(|(metadata, _)| !metadata.is_current()) {
        return Err(BundleError::Version { name: metadata.name.clone() });
    }
    let needs = usable.iter().map(|(_, code)| code.len() as u64).sum();
    if needs > cache.size() {
        return Err(BundleError::Size { needs, size: cache.size() });
    }
    let codes: Vec<_> = usable.iter().map(|(metadata, code)| (metadata, Sparse::from(*code))).collect();
    let sizes =
        cache.insert_all(&codes.iter().map(|(metadata, code)| (*metadata, code)).collect::<Vec<_>>())?;
    let added = usable.into_iter().map(|(metadata, _)| metadata).zip(sizes).collect();
    Ok(Imported { added, skipped: others.into_iter().map(|(metadata, _)| metadata).collect() })
}

/// Reads an entry for [`pack`] and checks it.
pub fn read_entry(mut file: impl io::Read) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    entry::parse(&bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
