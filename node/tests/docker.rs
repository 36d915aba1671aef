//! Docker's `daemon.json`.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use common::Node;
use ssr_node::engine::Engine;

const DAEMON: &str = "/etc/docker/daemon.json";

const FILES: [&str; 5] = [
    "{\n  \"log-driver\": \"local\",\n  \"registry-mirrors\": [\"http://127.0.0.1:5000\"]\n}\n",
    "{\n\t\"runtimes\": {\n\t\t\"nvidia\": {\n\t\t\t\"path\": \"nvidia-container-runtime\",\n\t\t\t\"args\": []\n\t\t}\n\t}\n}",
    "{\r\n    \"features\": { \"buildkit\": true }\r\n}\r\n",
    "{\"debug\":true}",
    "{}",
];

fn docker(version: (u32, u32, u32)) -> Node {
    Node::new().with(Engine::Docker, version)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_runtime_and_the_image_store_are_added_and_every_file_is_put_back() {
    for version in [(26, 1, 5), (28, 5, 2)] {
        for text in FILES {
            let (outcomes, with) = docker(version).file(DAEMON, text).round_trip(DAEMON);
            assert_eq!(json(&with)["features"]["containerd-snapshotter"], true, "{with}");
            assert_eq!(json(&with)["runtimes"]["ssr"]["runtimeType"], "io.containerd.ssr.v1", "{with}");
            let notes = outcomes[0].notes.join("\n");
            assert!(notes.contains("hidden") && notes.contains("live-restore"), "{notes}");
        }
    }
}

#[test]
fn a_missing_file_is_made_and_removed_with_its_directory() {
    let node = docker((28, 5, 2));
    node.round_trip(DAEMON);
    assert!(!node.at("/etc").exists());
    node.install();
    node.write(
        DAEMON,
        &node.read(DAEMON).replace("{\n  \"features\"", "{\n  \"debug\": true,\n  \"features\""),
    );
    node.remove();
    assert_eq!(json(&node.read(DAEMON)), json("{\"debug\":true}"));
}

#[test]
fn a_file_that_was_edited_since_keeps_the_edits() {
    for text in FILES {
        let node = docker((28, 5, 2)).file(DAEMON, text);
        node.install();
        let mut edited = json(&node.read(DAEMON));
        edited["mtu"] = 1400.into();
        node.write(DAEMON, &serde_json::to_string_pretty(&edited).unwrap());
        node.remove();
        let mut expected = json(text);
        expected["mtu"] = 1400.into();
        assert_eq!(json(&node.read(DAEMON)), expected);
        assert!(!node.at("/var/lib/containerd-shim-ssr").exists());
    }
}

#[test]
fn docker_29_keeps_images_in_containerd_unless_it_was_upgraded() {
    let (outcomes, with) = docker((29, 0, 1)).file(DAEMON, "{}").round_trip(DAEMON);
    assert_eq!(json(&with).get("features"), None);
    assert!(outcomes[0].notes.is_empty(), "{outcomes:?}");
    let upgraded =
        docker((29, 0, 1)).file(DAEMON, "{}").file("/var/lib/docker/image/overlay2/repositories.json", "{}");
    let (_, with) = upgraded.round_trip(DAEMON);
    assert_eq!(json(&with)["features"]["containerd-snapshotter"], true);
}

#[test]
fn an_old_docker_is_refused() {
    let error = docker((20, 10, 24)).file(DAEMON, "{}").install_fails().to_string();
    assert!(error.contains("Docker 20.10.24 is too old") && error.contains("--engine"), "{error}");
}

#[test]
fn what_is_set_already_is_left_alone() {
    let text = "{\"features\":{\"containerd-snapshotter\":true},\"runtimes\":{\"ssr\":{\"path\":\"/x\"}}}";
    let node = docker((28, 5, 2)).file(DAEMON, text);
    let before = node.tree();
    let outcomes = node.install();
    assert!(outcomes[0].notes[0].contains("'path'"), "{outcomes:?}");
    assert_eq!(node.tree(), before);
    let outcomes = node.remove();
    assert!(outcomes[0].notes[0].contains("no record"), "{outcomes:?}");
    assert_eq!(node.tree(), before);
}

#[test]
fn what_hinders_the_image_store_is_said() {
    let text = "{\"userns-remap\":\"default\",\"storage-driver\":\"overlay2\",\"features\":{\"containerd-snapshotter\":false}}";
    let (outcomes, with) = docker((28, 5, 2)).file(DAEMON, text).round_trip(DAEMON);
    assert_eq!(json(&with)["features"]["containerd-snapshotter"], true);
    let notes = outcomes[0].notes.join("\n");
    assert!(
        notes.contains("userns-remap 'default'") && notes.contains("storage-driver 'overlay2'"),
        "{notes}"
    );
}
