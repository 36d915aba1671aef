//! `ssr image`: what other tools make of the archive.

use std::fs;

use serde_json::Value;
use ssr_e2e::{Image, Lab, shell};

const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn containerd_imports_the_archive_under_its_full_name() {
    let lab = Lab::start();
    let image = Image::of_module(EMPTY);
    lab.import(&image);
    let list = shell::run(&mut lab.ctr(["image", "ls"])).success().stdout;
    let line = list.lines().find(|line| line.starts_with(image.name()));
    assert!(line.is_some_and(|line| line.contains("wasi/wasm")), "{list}");
}

#[test]
fn the_same_site_gives_the_same_archive() {
    let image = Image::of_module(EMPTY);
    let again = image.path().with_file_name("again.tar");
    image.pack_to(&again).success();
    assert!(fs::read(image.path()).unwrap() == fs::read(again).unwrap());
}

#[test]
fn standard_output_carries_the_same_archive() {
    let image = Image::of_module(EMPTY);
    let dir = image.path();
    let dir = dir.parent().unwrap();
    let command = r#"exec "$0" image --wasm ssr.wasm --static dist --tag "$1" --user "$2" -o - >piped.tar"#;
    let mut bash = std::process::Command::new("bash");
    bash.current_dir(dir)
        .args(["-c", command])
        .arg(shell::binaries().join("ssr"))
        .arg(image.name())
        .arg(ssr_e2e::image::USER);
    shell::run(&mut bash).success();
    assert!(fs::read(image.path()).unwrap() == fs::read(dir.join("piped.tar")).unwrap());
}

#[test]
fn the_node_that_pulls_it_reads_the_settings_from_its_configuration() {
    let lab = Lab::start();
    let image = Image::of_module(EMPTY);
    lab.import(&image);
    let content = shell::run(&mut lab.ctr(["content", "ls", "-q"])).success();
    let config = content
        .stdout
        .lines()
        .filter_map(|digest| {
            let blob = shell::run(&mut lab.ctr(["content", "get", digest]));
            serde_json::from_str::<Value>(&blob.stdout).ok()
        })
        .find(|document| document.get("rootfs").is_some())
        .expect("a configuration");
    assert_eq!(config["config"]["Entrypoint"][0], "/ssr.wasm");
    assert_eq!(config["config"]["Cmd"][0], "/dist");
    assert_eq!(config["config"]["StopSignal"], "SIGTERM");
}
