//! What cannot run says why on the container's own output, and each kind of
//! failure has its exit code.

use std::net::TcpListener;

use ssr_e2e::{Ended, Image, Lab};

/// A module without a single section: valid, and not a site.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

/// Asserts the exit code and that the log names each of the words.
fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    for word in words {
        assert!(ended.log.contains(word), "no {word:?} in: {}", ended.log);
    }
    assert_eq!(ended.code, code, "{}", ended.log);
}

#[test]
fn a_missing_module_is_named() {
    let lab = Lab::start();
    let ended = lab.container(&Image::of_module(EMPTY)).args(["/missing.wasm", "/dist"]).to_end();
    assert_says(&ended, 1, &["/missing.wasm"]);
    lab.stop();
}

#[test]
fn a_truncated_module_is_called_corrupt() {
    let lab = Lab::start();
    let whole = Image::of_site("site.js").module();
    let image = Image::of_module(&whole[..whole.len() / 2]);
    let ended = lab.container(&image).to_end();
    assert_says(&ended, 65, &["ssr.wasm"]);
}

#[test]
fn an_entrypoint_that_is_no_wasm_at_all_is_named() {
    let lab = Lab::start();
    let ended = lab.container(&Image::of_module(EMPTY)).args(["/dist/hello.txt", "/dist"]).to_end();
    assert_says(&ended, 1, &["hello.txt"]);
    lab.stop();
}

#[test]
fn a_module_that_is_not_a_site_is_refused_with_what_to_do() {
    let lab = Lab::start();
    let ended = lab.container(&Image::of_module(EMPTY)).to_end();
    assert_says(&ended, 65, &["ssr.wasm", "ssr build"]);
}

#[test]
fn missing_assets_are_named() {
    let lab = Lab::start();
    let ended = lab.container(&Image::of_site("site.js")).args(["/ssr.wasm", "/nowhere"]).to_end();
    assert_says(&ended, 66, &["/nowhere"]);
}

#[test]
fn a_bad_setting_is_named_with_its_value() {
    let lab = Lab::start();
    let ended = lab.container(&Image::of_site("site.js")).env("SSR_LISTEN", "nonsense").to_end();
    assert_says(&ended, 78, &["SSR_LISTEN", "nonsense"]);
}

#[test]
fn a_port_in_use_is_named() {
    let lab = Lab::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = lab.container(&Image::of_site("site.js")).env("SSR_LISTEN", &address).to_end();
    assert_says(&ended, 69, &[&address]);
}
