//! An installation that ends at any step, several at once, and what `check` says.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use common::{Node, fixture};
use ssr_node::check::{self, State};
use ssr_node::engine::Engine;
use ssr_node::install;

const MAIN: &str = "/etc/containerd/config.toml";
const DAEMON: &str = "/etc/docker/daemon.json";

fn node() -> Node {
    Node::new()
        .with(Engine::Containerd, (2, 1, 9))
        .with(Engine::Docker, (28, 5, 2))
        .file(MAIN, &fixture("containerd-2.1-default.toml"))
        .file(DAEMON, "{\n  \"debug\": true\n}\n")
}

#[test]
fn an_interrupted_installation_is_completed_or_undone_from_every_step() {
    // What is on the disk after each step, in the order in which they are made.
    let node = node();
    let before = node.tree();
    node.install();
    let after = node.tree();
    let ours = node.at("/var/lib/containerd-shim-ssr");
    let written = [MAIN, DAEMON].map(|path| node.at(path));
    for missing in 0..=written.len() {
        // The record is complete before the files are: the last ones were not written.
        for path in &written[missing..] {
            fs::write(path, &before[path].1).unwrap();
        }
        // A run that was killed leaves a hidden file that no engine reads.
        for path in [MAIN, DAEMON] {
            let name = node.at(path);
            let name =
                name.with_file_name(format!(".{}.ssr-partial", name.file_name().unwrap().to_str().unwrap()));
            fs::write(name, "half").unwrap();
        }
        node.remove();
        assert!(!ours.exists());
        for path in &written {
            assert_eq!(fs::read_to_string(path).unwrap(), before[path].1);
        }
        node.install();
        assert_eq!(node.tree(), after);
    }
    node.remove();
    assert_eq!(node.tree(), before);
}

#[test]
fn several_at_once_wait_for_each_other() {
    let node = node();
    let before = node.tree();
    for _ in 0..5 {
        thread::scope(|scope| {
            for turn in 0..8 {
                let options = &node.options;
                scope.spawn(move || match turn % 2 {
                    0 => install::install(options).unwrap(),
                    _ => install::remove(options).unwrap(),
                });
            }
        });
        node.remove();
        assert_eq!(node.tree(), before);
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    if nix_is_root() {
        // Root can write everywhere but into a file's place.
        let node = Node::new().with(Engine::Docker, (28, 5, 2)).file("/etc/docker", "a file");
        let error = install::install(&node.options).unwrap_err().to_string();
        assert!(error.contains("/etc/docker"), "{error}");
        return;
    }
    let node = node();
    fs::set_permissions(node.at("/var/lib"), fs::Permissions::from_mode(0o500)).unwrap();
    let error = node.install_fails().to_string();
    assert!(error.contains("run this as root"), "{error}");
}

fn nix_is_root() -> bool {
    // SAFETY: this only reads a number of the system's.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn check_says_what_is_missing_and_then_that_it_is_there() {
    let node = node()
        .file("/usr/local/bin/containerd-shim-ssr-v1", "shim")
        .file("/usr/bin/runc", "runc")
        .file("/proc/sys/kernel/osrelease", "6.12.0\n")
        .file("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    let rows = |node: &Node| check::check(&node.options.root, &node.options.engines, &node.options.versions);
    let state = |rows: &[check::Row], subject: &str| {
        let row = rows.iter().find(|row| row.subject == subject);
        row.unwrap_or_else(|| panic!("{subject}: {rows:#?}")).state
    };
    let before = rows(&node);
    assert!(!check::is_good(&before));
    assert_eq!(state(&before, "containerd: runtime ssr"), State::Error);
    assert_eq!(state(&before, "docker: image store"), State::Error);
    node.install();
    let after = rows(&node);
    for subject in [
        "kernel",
        "cgroups",
        "memory cgroup",
        "containerd",
        "containerd: runtime ssr",
        "containerd: pulled images",
        "containerd: shim",
        "containerd: runc",
        "docker",
        "docker: image store",
        "docker: runtime ssr",
    ] {
        assert_eq!(state(&after, subject), State::Ok, "{subject}");
    }
    assert!(check::is_good(&after), "{}", check::table(&after));
    fs::remove_file(node.at("/usr/local/bin/containerd-shim-ssr-v1")).unwrap();
    assert_eq!(state(&rows(&node), "containerd: shim"), State::Error);
}

#[test]
fn check_says_that_k3s_was_not_restarted() {
    let directory = "/var/lib/rancher/k3s/agent/etc/containerd";
    let node = Node::new()
        .with(Engine::K3s, (2, 1, 5))
        .file(&format!("{directory}/config.toml"), &fixture("k3s-containerd-2.toml"));
    node.install();
    let rows = check::check(&node.options.root, &[Engine::K3s], &node.options.versions);
    let row = rows.iter().find(|row| row.subject == "k3s: runtime ssr").unwrap();
    assert!(row.advice.as_ref().unwrap().contains("systemctl restart k3s"), "{row:?}");
    assert!(row.advice.as_ref().unwrap().contains("config-v3.toml.tmpl' has it"), "{row:?}");
}
