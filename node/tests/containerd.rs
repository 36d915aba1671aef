//! containerd's own configuration files.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use common::{Node, fixture};
use ssr_node::engine::Engine;
use toml_edit::Document;

const MAIN: &str = "/etc/containerd/config.toml";
const DROP_IN: &str = "/etc/containerd/conf.d/ssr.toml";
const V2: &str = "io.containerd.grpc.v1.cri";
const V3: &str = "io.containerd.cri.v1.runtime";
const IMAGES: &str = "io.containerd.cri.v1.images";

fn containerd(version: (u32, u32, u32), main: &str) -> Node {
    Node::new().with(Engine::Containerd, version).file(MAIN, main)
}

/// Our runtime's type, cgroup driver and snapshotter.
fn runtime(text: &str, plugin: &str) -> (String, bool, Option<String>) {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let ssr = &document["plugins"][plugin]["containerd"]["runtimes"]["ssr"];
    (
        ssr["runtime_type"].as_str().unwrap().to_owned(),
        ssr["options"]["SystemdCgroup"].as_bool().unwrap(),
        ssr.get("snapshotter").and_then(|item| item.as_str()).map(str::to_owned),
    )
}

fn local_pull(text: &str) -> Option<bool> {
    let document = Document::parse(text).unwrap();
    document.get("plugins")?.get(IMAGES)?.get("use_local_image_pull")?.as_bool()
}

#[test]
fn the_default_files_of_every_version_get_the_runtime_and_are_put_back() {
    let ours = |systemd| ("io.containerd.ssr.v1".to_owned(), systemd, None);
    for (version, name, plugin, pull) in [
        ((1, 6, 20), "containerd-1.6-default.toml", V2, None),
        ((1, 7, 24), "containerd-1.7-default.toml", V2, None),
        ((2, 0, 5), "containerd-2.1-default.toml", V3, Some(false)),
        ((2, 1, 9), "containerd-2.1-default.toml", V3, Some(true)),
        ((1, 6, 20), "containerd-debian.toml", V2, None),
        ((2, 1, 9), "containerd-debian.toml", V2, Some(true)),
    ] {
        let text = fixture(name);
        for (systemd, text) in
            [(false, text.clone()), (true, text.replace("SystemdCgroup = false", "SystemdCgroup = true"))]
        {
            let systemd = systemd && text.contains("SystemdCgroup");
            let (_, with) = containerd(version, &text).round_trip(MAIN);
            assert_eq!(runtime(&with, plugin), ours(systemd), "{name}");
            assert_eq!(local_pull(&with), pull, "{name} {version:?}");
        }
    }
}

#[test]
fn containerd_2_starts_the_shim_by_its_path_and_so_tells_a_kubelet_what_it_can_do() {
    let by_path = |text: &str, plugin: &str| {
        let document = Document::parse(text.to_owned()).unwrap();
        let ssr = &document["plugins"][plugin]["containerd"]["runtimes"]["ssr"];
        assert_eq!(ssr["runtime_type"].as_str(), Some("io.containerd.runc.v2"), "{text}");
        ssr["runtime_path"].as_str().unwrap().to_owned()
    };
    for (version, name, path, plugin) in [
        ((2, 0, 5), "containerd-2.1-default.toml", MAIN, V3),
        ((2, 1, 9), "containerd-debian.toml", MAIN, V2),
        ((2, 2, 0), "containerd-2.2-main.toml", DROP_IN, V3),
    ] {
        let node = containerd(version, &fixture(name)).file("/usr/local/bin/containerd-shim-ssr-v1", "");
        let (_, text) = node.round_trip(path);
        assert_eq!(by_path(&text, plugin), "/usr/local/bin/containerd-shim-ssr-v1", "{name}");
    }
    let node = containerd((1, 7, 24), "version = 2\n").file("/usr/bin/containerd-shim-ssr-v1", "");
    assert_eq!(runtime(&node.round_trip(MAIN).1, V2).0, "io.containerd.ssr.v1");
}

#[test]
fn the_path_follows_the_shim_to_another_directory() {
    let node = containerd((2, 1, 9), "version = 3\n").file("/usr/local/bin/containerd-shim-ssr-v1", "");
    node.install();
    fs::remove_file(node.at("/usr/local/bin/containerd-shim-ssr-v1")).unwrap();
    let node = node.file("/usr/bin/containerd-shim-ssr-v1", "");
    node.install();
    assert!(
        node.read(MAIN).contains("runtime_path = \"/usr/bin/containerd-shim-ssr-v1\""),
        "{}",
        node.read(MAIN)
    );
}

#[test]
fn an_imported_directory_gets_a_file_and_the_main_one_stays() {
    let main = fixture("containerd-2.2-main.toml");
    let node = containerd((2, 2, 0), &main);
    let (outcomes, text) = node.round_trip(DROP_IN);
    assert_eq!(outcomes[0].changed, [std::path::Path::new(DROP_IN)]);
    assert_eq!(runtime(&text, V3), ("io.containerd.ssr.v1".to_owned(), true, Some("zfs".to_owned())));
    assert!(text.contains("BinaryName = \"/opt/runc/runc\""), "{text}");
    assert_eq!(Document::parse(&*text).unwrap()["version"].as_integer(), Some(3));
    assert_eq!(local_pull(&text), Some(true));
}

#[test]
fn an_imported_file_has_the_version_of_the_main_one() {
    let main = "version = 2\nimports = [\"conf.d/*.toml\"]\n";
    let (_, text) = containerd((2, 2, 0), main).round_trip(DROP_IN);
    assert_eq!(Document::parse(&*text).unwrap()["version"].as_integer(), Some(2));
    assert_eq!(runtime(&text, V2).0, "io.containerd.ssr.v1");
    assert_eq!(local_pull(&text), Some(true));
}

#[test]
fn containerd_1_gets_no_imported_file_because_it_would_replace_all_of_cri() {
    let main = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let node = containerd((1, 7, 24), main);
    let (_, text) = node.round_trip(MAIN);
    assert_eq!(runtime(&text, V2).0, "io.containerd.ssr.v1");
    assert!(!node.at(DROP_IN).exists());
}

#[test]
fn a_missing_file_is_made_and_removed_with_its_directory() {
    for (version, plugin, number) in [((1, 6, 20), V2, 2), ((2, 1, 9), V3, 3), ((2, 3, 0), V3, 3)] {
        let node = Node::new().with(Engine::Containerd, version);
        let (_, text) = node.round_trip(MAIN);
        assert_eq!(runtime(&text, plugin).0, "io.containerd.ssr.v1");
        assert_eq!(Document::parse(&*text).unwrap()["version"].as_integer(), Some(number));
        assert!(!node.at("/etc").exists());
    }
}

#[test]
fn a_missing_file_of_an_unknown_version_is_refused_with_the_way_out() {
    let mut node = Node::new();
    node.options.engines.push(Engine::Containerd);
    let error = node.install_fails().to_string();
    assert!(error.contains("--engine-version containerd=VERSION"), "{error}");
}

#[test]
fn a_file_without_a_version_is_the_first_one_in_containerd_1() {
    let (_, text) = containerd((1, 7, 0), "[plugins.cri]\n  sandbox_image = 'x'\n").round_trip(MAIN);
    assert_eq!(runtime(&text, "cri").0, "io.containerd.ssr.v1");
    let (_, text) = containerd((2, 1, 0), "root = '/data'\n").round_trip(MAIN);
    assert_eq!(runtime(&text, V3).0, "io.containerd.ssr.v1");
}

#[test]
fn containerd_1_keeps_its_default_runtime_when_the_file_names_no_other() {
    for (version, main, plugin) in [
        ((1, 6, 20), "version = 2\n", Some(V2)),
        ((1, 7, 24), "# mine\n", Some("cri")),
        ((1, 7, 24), "", Some(V2)),
        ((2, 1, 9), "version = 2\n", None),
    ] {
        let (_, text) = containerd(version, main).round_trip(MAIN);
        let document = Document::parse(&*text).unwrap();
        let runc = plugin.map(|plugin| &document["plugins"][plugin]["containerd"]["runtimes"]["runc"]);
        assert_eq!(
            runc.and_then(|runc| runc["runtime_type"].as_str()),
            plugin.map(|_| "io.containerd.runc.v2")
        );
        assert_eq!(text.contains("runtimes.runc"), plugin.is_some());
    }
    let (_, text) = containerd((1, 7, 24), &fixture("containerd-1.7-default.toml")).round_trip(MAIN);
    assert_eq!(text.matches("containerd.runtimes.runc]").count(), 1);
}

#[test]
fn line_breaks_modes_and_links_stay() {
    for text in
        ["version = 2", "version = 2\r\n[debug]\r\n  level = 'info'\r\n", "version = 2\r\n[debug]", "# mine"]
    {
        let node = containerd((1, 7, 24), text);
        fs::set_permissions(node.at(MAIN), fs::Permissions::from_mode(0o600)).unwrap();
        let (_, with) = node.round_trip(MAIN);
        assert_eq!(with.contains("\r\n[plugins"), text.contains('\r'), "{with:?}");
    }
    let node = Node::new().with(Engine::Containerd, (1, 7, 24)).file("/srv/shared.toml", "version = 2\n");
    fs::create_dir_all(node.at("/etc/containerd")).unwrap();
    symlink("/srv/shared.toml", node.at(MAIN)).unwrap();
    let before = node.tree();
    node.install();
    assert!(node.at(MAIN).is_symlink());
    assert!(node.read("/srv/shared.toml").contains("runtimes.ssr"));
    node.remove();
    assert_eq!(node.tree(), before);
}

#[test]
fn what_somebody_changes_later_stays_when_ours_is_removed() {
    let node = containerd((2, 1, 9), &fixture("containerd-2.1-default.toml"));
    node.install();
    let edited = node.read(MAIN).replace("max_concurrent_downloads = 3", "max_concurrent_downloads = 7")
        + "\n[plugins.'mine']\n  x = 1\n";
    node.write(MAIN, &edited);
    assert!(node.install()[0].changed.is_empty());
    node.remove();
    let expected = fixture("containerd-2.1-default.toml")
        .replace("max_concurrent_downloads = 3", "max_concurrent_downloads = 7")
        + "\n[plugins.'mine']\n  x = 1\n";
    assert_eq!(node.read(MAIN), expected);
}

#[test]
fn a_runtime_that_somebody_has_configured_is_left_alone() {
    let main = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.ssr]\n  runtime_type = 'x'\n";
    let node = containerd((1, 7, 24), main);
    let before = node.tree();
    let outcomes = node.install();
    assert!(outcomes[0].notes[0].contains("has a runtime 'ssr' already"), "{outcomes:?}");
    node.remove();
    assert_eq!(node.tree(), before);

    let node = containerd((2, 2, 0), &fixture("containerd-2.2-main.toml"))
        .file("/etc/containerd/conf.d/10-wasm.toml", &main.replace("version = 2", ""));
    let before = node.tree();
    let outcomes = node.install();
    assert!(outcomes[0].notes[0].contains("10-wasm.toml"), "{outcomes:?}");
    assert_eq!(node.tree(), before);
}

#[test]
fn dockers_containerd_needs_no_entry_because_cri_is_off() {
    let node = containerd((1, 7, 24), &fixture("containerd-docker-package.toml"));
    let before = node.tree();
    let outcomes = node.install();
    assert!(outcomes[0].notes[0].contains("turns CRI off"), "{outcomes:?}");
    assert_eq!(node.tree(), before);
}

#[test]
fn what_cannot_be_edited_is_refused_and_left_alone() {
    for (text, says) in [
        ("version = 2\n[plugins\n", "line 2"),
        ("version = 2\nplugins = {}\n", "add it by hand"),
        (
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\ncontainerd = { runtimes = {} }\n",
            "add it by hand",
        ),
    ] {
        let error = containerd((1, 7, 24), text).install_fails().to_string();
        assert!(error.contains(says) && error.contains(MAIN), "{error}");
    }
    let node = containerd((1, 7, 24), "");
    fs::write(node.at(MAIN), b"a = '\xff'").unwrap();
    assert!(node.install_fails().to_string().contains("not UTF-8"));
}

#[test]
fn nothing_is_written_if_one_engine_cannot_be_configured() {
    let node = containerd((1, 7, 24), "version = 2\n")
        .with(Engine::Docker, (28, 5, 2))
        .file("/etc/docker/daemon.json", "{\n");
    let error = node.install_fails().to_string();
    assert!(error.contains("daemon.json', line"), "{error}");
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let mut node = containerd((2, 1, 9), &fixture("containerd-2.1-default.toml"));
    node.options.dry_run = true;
    let before = node.tree();
    let outcome = node.install().remove(0);
    assert_eq!(node.tree(), before);
    assert!(
        outcome.difference.starts_with("--- /etc/containerd/config.toml\n+++ "),
        "{}",
        outcome.difference
    );
    assert!(outcome.difference.contains("\n-    use_local_image_pull = false\n"), "{}", outcome.difference);
    assert!(outcome.difference.contains("\n+  runtime_type = \"io.containerd.ssr.v1\"\n"));
}

#[test]
fn a_newer_containerd_moves_the_entry_into_the_imported_directory() {
    let mut node = containerd((1, 7, 24), "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n");
    let before = node.tree();
    node.install();
    assert!(node.read(MAIN).contains("runtimes.ssr"));
    node.options.versions.clear();
    let node = node.with(Engine::Containerd, (2, 2, 1));
    node.install();
    assert!(!node.read(MAIN).contains("runtimes.ssr"));
    assert!(node.read(DROP_IN).contains("runtimes.ssr"));
    node.remove();
    assert_eq!(node.tree(), before);
}

#[test]
fn the_marks_are_enough_to_remove_it_without_the_record() {
    for (version, path) in
        [((2, 1, 9), "containerd-2.1-default.toml"), ((2, 2, 0), "containerd-2.2-main.toml")]
    {
        let node = containerd(version, &fixture(path));
        node.install();
        fs::remove_dir_all(node.at("/var/lib/containerd-shim-ssr")).unwrap();
        node.remove();
        assert_eq!(node.read(MAIN), fixture(path));
        assert!(!node.at(DROP_IN).exists());
    }
}
