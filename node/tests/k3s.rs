//! k3s, RKE2 and microk8s.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use common::{Node, fixture};
use ssr_node::engine::Engine;
use toml_edit::Document;

const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd";
const BASE: &str = "{{ template \"base\" . }}\n";

fn k3s(version: (u32, u32, u32), generated: &str) -> Node {
    Node::new().with(Engine::K3s, version).file(&format!("{K3S}/config.toml"), generated)
}

fn template(version: u32) -> String {
    format!("{K3S}/config{}.toml.tmpl", if version == 3 { "-v3" } else { "" })
}

/// A template with what k3s puts in.
fn expand(template: &str, base: &str) -> Document<String> {
    let text = template.replace(BASE, base).replace("{{ .SystemdCgroup }}", "true");
    Document::parse(text.clone()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_template_of_the_version_is_made_and_removed() {
    for (version, name, number, plugin) in [
        ((1, 7, 23), "k3s-containerd-1.7.toml", 2, "io.containerd.grpc.v1.cri"),
        ((2, 1, 5), "k3s-containerd-2.toml", 3, "io.containerd.cri.v1.runtime"),
    ] {
        let generated = fixture(name);
        let node = k3s(version, &generated);
        let (outcomes, text) = node.round_trip(&template(number));
        assert_eq!(text.matches(BASE.trim()).count(), 1);
        let ssr = &expand(&text, &generated)["plugins"][plugin]["containerd"]["runtimes"]["ssr"];
        assert_eq!(ssr["runtime_type"].as_str(), Some("io.containerd.ssr.v1"));
        assert_eq!(ssr["options"]["SystemdCgroup"].as_bool(), Some(true));
        assert_eq!(outcomes[0].notes.len(), usize::from(number == 3), "{outcomes:?}");
    }
}

#[test]
fn the_template_of_containerd_2_starts_the_shim_by_its_path() {
    for (version, number, by_path) in [((1, 7, 23), 2, false), ((2, 1, 5), 3, true)] {
        let node = Node::new().with(Engine::K3s, version).file("/usr/local/bin/containerd-shim-ssr-v1", "");
        let (_, text) = node.round_trip(&template(number));
        assert_eq!(
            text.contains("runtime_path = \"/usr/local/bin/containerd-shim-ssr-v1\""),
            by_path,
            "{text}"
        );
    }
}

#[test]
fn a_template_of_the_persons_own_is_added_to_once() {
    let own = format!("{BASE}\n[plugins.'io.containerd.cri.v1.runtime'.cdi]\n  enable = true");
    let node = k3s((2, 1, 5), &fixture("k3s-containerd-2.toml")).file(&template(3), &own);
    let (_, text) = node.round_trip(&template(3));
    assert!(text.starts_with(&own));
    expand(&text, &fixture("k3s-containerd-2.toml"));
}

#[test]
fn the_template_that_k3s_uses_is_the_one_that_is_added_to() {
    // containerd 2 with a template of version 2: a new one of version 3 would take its place.
    let node = k3s((2, 1, 5), &fixture("k3s-containerd-1.7.toml")).file(&template(2), BASE);
    node.round_trip(&template(2));
    let node = Node::new().with(Engine::K3s, (2, 1, 5)).file(&template(2), BASE);
    node.round_trip(&template(2));
    assert!(!node.at(&template(3)).exists());
}

#[test]
fn before_the_first_start_an_unknown_version_gets_both_templates() {
    let mut node = Node::new();
    node.options.engines.push(Engine::K3s);
    let before = node.tree();
    let outcomes = node.install();
    assert_eq!(outcomes[0].changed.len(), 2);
    for (number, plugin) in [(3, "cri.v1.runtime"), (2, "grpc.v1.cri")] {
        assert!(node.read(&template(number)).contains(plugin));
    }
    node.remove();
    assert_eq!(node.tree(), before);
}

#[test]
fn a_directory_for_imports_gets_a_file() {
    let node = k3s((2, 2, 1), &fixture("k3s-imports.toml"));
    let (_, text) = node.round_trip(&format!("{K3S}/config-v3.toml.d/ssr.toml"));
    let document = Document::parse(&*text).unwrap();
    assert_eq!(document["version"].as_integer(), Some(3));
    let ssr = &document["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]["ssr"];
    assert_eq!(ssr["options"]["SystemdCgroup"].as_bool(), Some(true));
    let images = &document["plugins"]["io.containerd.cri.v1.images"];
    assert_eq!(images["use_local_image_pull"].as_bool(), Some(true));
}

#[test]
fn a_newer_k3s_moves_the_entry_from_the_template_to_the_directory() {
    let node = k3s((2, 1, 5), &fixture("k3s-containerd-2.toml"));
    node.install();
    assert!(node.at(&template(3)).exists());
    node.write(&format!("{K3S}/config.toml"), &fixture("k3s-imports.toml"));
    let before = node.tree();
    node.install();
    assert!(!node.at(&template(3)).exists());
    assert!(node.at(&format!("{K3S}/config-v3.toml.d/ssr.toml")).exists());
    assert_ne!(node.tree(), before);
    node.remove();
    assert!(!node.at(&format!("{K3S}/config-v3.toml.d")).exists());
}

#[test]
fn a_runtime_of_the_persons_own_is_left_alone() {
    let own = format!("{BASE}[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.\"ssr\"]\n");
    let node = k3s((2, 1, 5), &fixture("k3s-containerd-2.toml")).file(&template(3), &own);
    let before = node.tree();
    assert!(node.install()[0].notes[0].contains("has a runtime 'ssr' already"));
    assert_eq!(node.tree(), before);
}

#[test]
fn rke2_pulls_images_itself_already() {
    let path = "/var/lib/rancher/rke2/agent/etc/containerd";
    let node = Node::new()
        .with(Engine::Rke2, (2, 1, 5))
        .file(&format!("{path}/config.toml"), &fixture("rke2-containerd-2.toml"));
    let (outcomes, text) = node.round_trip(&format!("{path}/config-v3.toml.tmpl"));
    assert!(outcomes[0].notes.is_empty(), "{outcomes:?}");
    expand(&text, &fixture("rke2-containerd-2.toml"));
}

#[test]
fn microk8s_gets_a_block_in_its_template() {
    let path = "/var/snap/microk8s/current/args/containerd-template.toml";
    let node = Node::new().with(Engine::Microk8s, (1, 7, 27)).file(path, &fixture("microk8s-template.toml"));
    let (_, text) = node.round_trip(path);
    let document = Document::parse(&*text).unwrap();
    let runtimes = &document["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"];
    assert_eq!(runtimes["ssr"]["runtime_type"].as_str(), Some("io.containerd.ssr.v1"));
    assert_eq!(runtimes["runc"]["runtime_type"].as_str(), Some("${RUNTIME_TYPE}"));
}

#[test]
fn an_alias_is_a_link_beside_the_shim_and_never_takes_anothers_place() {
    use ssr_node::shim::alias;
    let node = Node::new().file("/usr/local/bin/containerd-shim-ssr-v1", "shim");
    let root = &node.options.root;
    let before = node.tree();
    let place = std::path::Path::new("/usr/local/bin/containerd-shim-wasmtime-v1");
    assert_eq!(alias::install(root, "wasmtime", true).unwrap().as_deref(), Some(place));
    assert_eq!(node.tree(), before);
    assert_eq!(alias::install(root, "wasmtime", false).unwrap().as_deref(), Some(place));
    assert_eq!(node.read(place.to_str().unwrap()), "shim");
    assert_eq!(alias::install(root, "wasmtime", false).unwrap(), None);
    assert_eq!(alias::remove(root, false).unwrap(), [place]);
    assert_eq!(node.tree(), before);

    node.write("/usr/bin/containerd-shim-wasmtime-v1", "another");
    let error = alias::install(root, "wasmtime", false).unwrap_err().to_string();
    assert!(error.contains("'/usr/bin/containerd-shim-wasmtime-v1' is another shim"), "{error}");
    let error = alias::install(&Node::new().options.root, "wasmtime", false).unwrap_err().to_string();
    assert!(error.contains("install it first"), "{error}");
}
