//! What cannot run says why: what is no program is refused when the container is
//! created, and a server that cannot go on says so on the container's own output,
//! with an exit code for each kind of failure.

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

/// Asserts that there was no container at all, and that `ctr` named what was
/// wrong.
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_says(ended, 1, words);
    assert!(ended.log.contains("ctr: "), "{}", ended.log);
}

#[test]
fn a_missing_module_is_named() {
    let lab = Lab::shared();
    let ended = lab.container(&Image::of_module(EMPTY)).args(["/missing.wasm", "/dist"]).to_end();
    assert_refused(&ended, &["/missing.wasm"]);
}

#[test]
fn a_truncated_module_is_called_corrupt() {
    let lab = Lab::shared();
    let whole = Image::of_site("site.js").module();
    let image = Image::of_module(&whole[..whole.len() / 2]);
    let ended = lab.container(&image).to_end();
    assert_says(&ended, 65, &["ssr.wasm"]);
}

#[test]
fn an_entrypoint_that_is_no_wasm_at_all_is_named() {
    let lab = Lab::shared();
    let ended = lab.container(&Image::of_module(EMPTY)).args(["/dist/hello.txt", "/dist"]).to_end();
    assert_refused(&ended, &["/dist/hello.txt"]);
}

#[test]
fn a_module_that_is_not_a_site_is_refused_with_what_to_do() {
    let lab = Lab::shared();
    let ended = lab.container(&Image::of_module(EMPTY)).to_end();
    assert_says(&ended, 65, &["ssr.wasm", "ssr build"]);
}

#[test]
fn missing_assets_are_named() {
    let lab = Lab::shared();
    let ended = lab.site().args(["/ssr.wasm", "/nowhere"]).to_end();
    assert_says(&ended, 66, &["/nowhere"]);
}

#[test]
fn a_bad_setting_is_named_with_its_value() {
    let lab = Lab::shared();
    let ended = lab.site().env("SSR_LISTEN", "nonsense").to_end();
    assert_says(&ended, 78, &["SSR_LISTEN", "nonsense"]);
}

#[test]
fn a_port_in_use_is_named() {
    let lab = Lab::shared();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = lab.site().env("SSR_LISTEN", &address).to_end();
    assert_says(&ended, 69, &[&address]);
}
