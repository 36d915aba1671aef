//! Containers that cannot run say why. What is not a program is refused when the container
//! is created. A server that cannot start writes the reason to the container's output, and
//! each kind of failure has its exit code.

use std::net::TcpListener;

use ssr_e2e::{Containerd, Exited, Image};

/// A module without sections: valid, but not a site.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

/// Asserts the exit code, and that the log contains all the words.
fn assert_says(exited: &Exited, code: i32, words: &[&str]) {
    for word in words {
        assert!(exited.log.contains(word), "no {word:?} in: {}", exited.log);
    }
    assert_eq!(exited.code, code, "{}", exited.log);
}

/// Asserts that no container was created, and that the error of `ctr` contains all the
/// words.
fn assert_refused(exited: &Exited, words: &[&str]) {
    assert_says(exited, 1, words);
    assert!(exited.log.contains("ctr: "), "{}", exited.log);
}

#[test]
fn a_missing_module_is_named() {
    let containerd = Containerd::shared();
    let exited = containerd.container(&Image::from_module(EMPTY)).args(["/missing.wasm", "/dist"]).run();
    assert_refused(&exited, &["/missing.wasm"]);
}

#[test]
fn a_truncated_module_is_named() {
    let containerd = Containerd::shared();
    let whole = Image::from_fixture("site.js").module();
    let image = Image::from_module(&whole[..whole.len() / 2]);
    let exited = containerd.container(&image).run();
    assert_says(&exited, 65, &["ssr.wasm"]);
}

#[test]
fn an_entrypoint_that_is_not_webassembly_is_named() {
    let containerd = Containerd::shared();
    let exited = containerd.container(&Image::from_module(EMPTY)).args(["/dist/hello.txt", "/dist"]).run();
    assert_refused(&exited, &["/dist/hello.txt"]);
}

#[test]
fn a_module_that_is_not_a_site_is_refused_with_advice() {
    let containerd = Containerd::shared();
    let exited = containerd.container(&Image::from_module(EMPTY)).run();
    assert_says(&exited, 65, &["ssr.wasm", "ssr build"]);
}

#[test]
fn a_missing_asset_directory_is_named() {
    let containerd = Containerd::shared();
    let exited = containerd.site().args(["/ssr.wasm", "/nowhere"]).run();
    assert_says(&exited, 66, &["/nowhere"]);
}

#[test]
fn a_bad_setting_is_named_with_its_value() {
    let containerd = Containerd::shared();
    let exited = containerd.site().env("SSR_LISTEN", "nonsense").run();
    assert_says(&exited, 78, &["SSR_LISTEN", "nonsense"]);
}

#[test]
fn a_port_in_use_is_named() {
    let containerd = Containerd::shared();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let exited = containerd.site().env("SSR_LISTEN", &address).run();
    assert_says(&exited, 69, &[&address]);
}
