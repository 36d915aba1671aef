//! A bundle of compiled code: as it comes, and as somebody signs it who is trusted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ssr_code_cache::bundle::key::PrivateKey;
use ssr_code_cache::bundle::{import, pack};
use ssr_code_cache::cache::CodeCache;
use xxhash_rust::xxh3::xxh3_128;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().expect("a key"));
static CACHE: LazyLock<CodeCache> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("ssr-fuzz-{}", std::process::id()));
    CodeCache::open(&dir, 1 << 20).expect("a cache")
});

fuzz_target!(|input: &[u8]| {
    let trusted = [KEY.public()];
    let _ = import(&CACHE, input, &trusted);
    // The signature is right, and what it covers is not.
    let empty = pack(&[], &KEY);
    let mut signed = empty[..empty.len() - 8 - 64].to_vec();
    signed.extend_from_slice(input);
    let signature = KEY.sign(&signed);
    signed.extend_from_slice(&signature);
    let _ = import(&CACHE, &signed, &trusted);
    // The lengths are right, too; and the checksum. The last two bytes are the length of the
    // metadata.
    let Some((content, length)) = input.split_last_chunk::<2>() else { return };
    let mut entry = content.to_vec();
    entry.extend_from_slice(&u64::from(u16::from_le_bytes(*length)).to_le_bytes());
    let checksum = xxh3_128(&entry);
    entry.extend_from_slice(&checksum.to_le_bytes());
    entry.extend_from_slice(b"ssrcode1");
    for entries in [&[input.to_vec()][..], &[entry.clone()], &[entry, input.to_vec()]] {
        if import(&CACHE, &pack(entries, &KEY), &trusted).is_ok() {
            CACHE.clear().expect("the cache is cleared");
        }
    }
});
