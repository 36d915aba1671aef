//! A module of an image: the parts by which a site of the program's own engine is recognized, and the
//! memory that it begins with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ssr_wasm::carried::parts::Parts;
use ssr_wasm::carried::sparse::Sparse;
use ssr_wasm::linked::image;

/// WebAssembly's pages, in bytes.
const WASM_PAGE: u64 = 64 << 10;

fn read(module: &[u8]) {
    let Some(parts) = Parts::of(module) else { return };
    let _ = parts.digest();
    assert!(parts.code_size() + parts.data_size() <= module.len());
    for page in [4 << 10, 16 << 10, 64 << 10] {
        let Some((start, image)) = parts.image(page) else { continue };
        let length = image.len() as u64;
        assert!(start.is_multiple_of(page) && length.is_multiple_of(page));
        assert!(start + length <= parts.limits().0 * WASM_PAGE);
        let mut sparse = Sparse::default();
        sparse.add_blocks(0, &image);
        let mut at = 0;
        sparse.each(|bytes| {
            assert!(image[at..].starts_with(bytes));
            at += bytes.len();
        });
        assert!(image[at..].iter().all(|byte| *byte == 0));
    }
    let _ = image::encode(&parts);
}

fuzz_target!(|input: &[u8]| {
    read(input);
    read(&[b"\0asm\x01\0\0\0", input].concat());
});
