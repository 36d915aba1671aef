//! `ssr image`: the archive, and what containerd reads from it.

use std::fs;

use serde_json::Value;
use ssr_e2e::{Containerd, Image, shell, under_test};

const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn containerd_imports_the_archive_under_its_full_name() {
    let containerd = Containerd::start();
    let image = Image::from_module(EMPTY);
    containerd.import(&image);
    let list = shell::run(&mut containerd.ctr(["image", "ls"])).success().stdout;
    let line = list.lines().find(|line| line.starts_with(image.name()));
    assert!(line.is_some_and(|line| line.contains("wasi/wasm")), "{list}");
}

#[test]
fn the_same_site_gives_the_same_archive() {
    let image = Image::from_module(EMPTY);
    let again = image.path().with_file_name("again.tar");
    image.pack_to(&again).success();
    assert!(fs::read(image.path()).unwrap() == fs::read(again).unwrap());
}

#[test]
fn the_archive_on_standard_output_is_the_same() {
    let image = Image::from_module(EMPTY);
    let dir = image.path();
    let dir = dir.parent().unwrap();
    let command = r#"exec "$0" image --wasm ssr.wasm --static dist --tag "$1" --user "$2" -o - >piped.tar"#;
    let mut bash = std::process::Command::new("bash");
    bash.current_dir(dir)
        .args(["-c", command])
        .arg(under_test::binaries().join("ssr"))
        .arg(image.name())
        .arg(ssr_e2e::images::USER);
    shell::run(&mut bash).success();
    assert!(fs::read(image.path()).unwrap() == fs::read(dir.join("piped.tar")).unwrap());
}

#[test]
fn the_images_configuration_holds_entrypoint_command_and_stop_signal() {
    let containerd = Containerd::start();
    let image = Image::from_module(EMPTY);
    containerd.import(&image);
    let content = shell::run(&mut containerd.ctr(["content", "ls", "-q"])).success();
    let config = content
        .stdout
        .lines()
        .filter_map(|digest| {
            let blob = shell::run(&mut containerd.ctr(["content", "get", digest]));
            serde_json::from_str::<Value>(&blob.stdout).ok()
        })
        .find(|document| document.get("rootfs").is_some())
        .expect("a configuration");
    assert_eq!(config["config"]["Entrypoint"][0], "/ssr.wasm");
    assert_eq!(config["config"]["Cmd"][0], "/dist");
    assert_eq!(config["config"]["StopSignal"], "SIGTERM");
}
