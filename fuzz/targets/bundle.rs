//! A bundle of compiled code: as it comes, and as somebody signs it who is trusted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ssr_code_cache::bundle::key::PrivateKey;
use ssr_code_cache::bundle::{import, pack};
use ssr_code_cache::cache::CodeCache;
use ssr_fuzz::entry_with_checksum;

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
    // The lengths are right, too; and the checksum.
    let Some(entry) = entry_with_checksum(input) else { return };
    for entries in [&[input.to_vec()][..], &[entry.clone()], &[entry, input.to_vec()]] {
        if import(&CACHE, &pack(entries, &KEY), &trusted).is_ok() {
            CACHE.clear().expect("the cache is cleared");
        }
    }
});
