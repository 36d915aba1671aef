//! A module of an image: what it says it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ssr_wasm::detect;

fuzz_target!(|input: &[u8]| {
    let _ = detect::check(input);
    let module = [b"\0asm\x01\0\0\0", input].concat();
    if let Ok(detect::Kind::Site(site)) = detect::check(&module) {
        assert_eq!(site.abi, detect::ABI_VERSION);
    }
});
