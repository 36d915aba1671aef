//! `ssr node` and a real containerd, which reads what was written. Below a directory of its
//! own, so that the machine's configuration stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ssr_e2e::shell::{self, Output};
use ssr_e2e::under_test;

/// A tree of files with this machine's containerd in it.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(node.at("usr/bin")).expect("a directory");
        fs::create_dir_all(node.at("var/lib")).expect("a directory");
        let containerd = shell::run(Command::new("bash").args(["-c", "command -v containerd"])).success();
        fs::copy(containerd.stdout.trim(), node.at("usr/bin/containerd")).expect("containerd's program");
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn main_file(&self) -> PathBuf {
        self.at("etc/containerd/config.toml")
    }

    fn with_main_file(self, text: &str) -> Self {
        fs::create_dir_all(self.at("etc/containerd")).expect("a directory");
        fs::write(self.main_file(), text).expect("a file");
        self
    }

    fn ssr(&self, args: &[&str]) -> Output {
        shell::run(under_test::ssr(["node"]).args(args).arg("--root").arg(self.0.path()))
    }

    fn containerd(&self, args: &[&str]) -> String {
        shell::run(Command::new("containerd").args(args)).success().stdout
    }

    /// The row of `ssr node check --json` with the subject. It fails if any row is an error.
    fn check(&self, subject: &str) -> serde_json::Value {
        let output = self.ssr(&["check", "--json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).expect("JSON");
        assert_eq!(
            output.code,
            i32::from(rows.iter().any(|row| row["state"] == "error")),
            "{}",
            output.stdout
        );
        let row = rows.into_iter().find(|row| row["subject"] == subject);
        row.unwrap_or_else(|| panic!("no {subject} in {}", output.stdout))
    }

    /// What containerd makes of the configuration.
    fn dump(&self) -> toml::Table {
        let main = self.main_file();
        let text = self.containerd(&["--config", main.to_str().expect("a path"), "config", "dump"]);
        text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn major_version(&self) -> u32 {
        let text = self.containerd(&["--version"]);
        let version = text.split_whitespace().nth(2).expect("a version").trim_start_matches('v');
        version.split('.').next().and_then(|major| major.parse().ok()).expect("a number")
    }

    /// All files and their contents, but for containerd's program.
    fn files(&self) -> Vec<(PathBuf, String)> {
        fn walk(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => {
                        files.push((path.clone(), String::new()));
                        walk(&path, files);
                    }
                    false if path.ends_with("usr/bin/containerd") => {}
                    false => files.push((path.clone(), fs::read_to_string(&path).expect("text"))),
                }
            }
        }
        let mut files = Vec::new();
        walk(self.0.path(), &mut files);
        files.sort();
        files
    }
}

/// The table of the runtimes, which has one of two places.
fn runtimes(dump: &toml::Table) -> &toml::Table {
    let plugins = dump["plugins"].as_table().expect("a table");
    let plugin =
        plugins.get("io.containerd.cri.v1.runtime").or_else(|| plugins.get("io.containerd.grpc.v1.cri"));
    plugin.expect("CRI")["containerd"]["runtimes"].as_table().expect("a table")
}

fn systemd_cgroup(runtime: &toml::Value) -> bool {
    runtime["options"]["SystemdCgroup"].as_bool().expect("a value")
}

#[test]
fn containerd_reads_the_runtime_and_every_file_is_put_back() {
    let default = Node::new().containerd(&["config", "default"]);
    let with_systemd = default.replace("SystemdCgroup = false", "SystemdCgroup = true");
    let short = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"pause:of-ours\"";
    for text in [None, Some(default.as_str()), Some(&with_systemd), Some(short)] {
        let node = Node::new();
        let node = match text {
            Some(text) => node.with_main_file(text),
            None => node,
        };
        let before = node.files();
        let installed = node.ssr(&["install", "--engine", "containerd"]).success();
        assert!(installed.stderr.contains("changed '/etc/containerd/config.toml'"), "{}", installed.stderr);
        let dump = node.dump();
        let ssr = &runtimes(&dump)["ssr"];
        // containerd 1 has its default runtime only as long as the file names no other.
        assert_eq!(runtimes(&dump)["runc"]["runtime_type"].as_str(), Some("io.containerd.runc.v2"));
        assert_eq!(ssr["runtime_type"].as_str(), Some("io.containerd.ssr.v1"));
        if text == Some(&with_systemd) {
            assert!(systemd_cgroup(&runtimes(&dump)["runc"]) && systemd_cgroup(ssr));
        }
        if text == Some(short) {
            assert!(format!("{dump:?}").contains("pause:of-ours"), "{dump:?}");
        }
        if node.major_version() >= 2 {
            let images = &dump["plugins"]["io.containerd.cri.v1.images"];
            assert_eq!(images["use_local_image_pull"].as_bool(), Some(true));
        }
        let again = node.ssr(&["install", "--engine", "containerd"]).success();
        assert!(again.stderr.contains("nothing to change"), "{}", again.stderr);
        node.ssr(&["remove"]).success();
        assert_eq!(node.files(), before);
    }
}

#[test]
fn an_import_adds_to_the_main_file_and_replaces_nothing() {
    let main = "version = 2\nimports = [\"conf.d/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  \
                sandbox_image = \"pause:of-ours\"\n";
    let node = Node::new().with_main_file(main);
    let before = node.files();
    node.ssr(&["install"]).success();
    let is_imported = node.at("etc/containerd/conf.d/ssr.toml").exists();
    assert_eq!(is_imported, node.major_version() >= 2, "containerd 1 would replace all of CRI by the import");
    let dump = node.dump();
    assert_eq!(runtimes(&dump)["ssr"]["runtime_type"].as_str(), Some("io.containerd.ssr.v1"));
    assert!(runtimes(&dump).contains_key("runc"));
    assert!(format!("{dump:?}").contains("pause:of-ours"), "{dump:?}");
    node.ssr(&["remove"]).success();
    assert_eq!(node.files(), before);
}

#[test]
fn an_installation_that_is_killed_leaves_a_configuration_that_works_and_can_be_undone() {
    let default = Node::new().containerd(&["config", "default"]);
    let node = Node::new().with_main_file(&default);
    fs::create_dir_all(node.at("etc/docker")).expect("a directory");
    fs::write(node.at("etc/docker/daemon.json"), "{\n  \"debug\": true\n}\n").expect("a file");
    let before = node.files();
    let args = ["install", "--engine-version", "docker=28.5.2", "--engine", "containerd,docker"];
    let (mut killed, mut undone) = (0, 0);
    for round in 0..60 {
        let mut command = under_test::ssr(["node"]);
        command.args(args).arg("--root").arg(node.0.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("ssr");
        thread::sleep(Duration::from_millis(round * 2));
        child.kill().expect("a child");
        killed += u32::from(child.wait().expect("a child").code().is_none());
        node.dump();
        let text = fs::read_to_string(node.at("etc/docker/daemon.json")).expect("a file");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        undone += u32::from(node.files() != before);
        node.ssr(&["remove"]).success();
        assert_eq!(node.files(), before, "round {round}");
    }
    assert!(killed > 0 && undone > 0, "{killed} killed, {undone} undone");
}

#[test]
fn a_dry_run_prints_a_difference_that_patch_could_apply() {
    let node = Node::new().with_main_file("version = 2\n");
    let before = node.files();
    let shown = node.ssr(&["install", "--dry-run"]).success();
    assert!(shown.stdout.starts_with("--- /etc/containerd/config.toml\n+++ "), "{}", shown.stdout);
    assert!(shown.stdout.contains("\n+  runtime_type = \"io.containerd.ssr.v1\"\n"), "{}", shown.stdout);
    assert_eq!(node.files(), before);
}

#[test]
fn a_broken_file_is_named_with_its_line_and_left_alone() {
    let node = Node::new().with_main_file("version = 2\n[plugins\n");
    let before = node.files();
    let failed = node.ssr(&["install"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.starts_with("ssr: '/etc/containerd/config.toml', line 2, "), "{}", failed.stderr);
    assert_eq!(node.files(), before);
}

#[test]
fn check_fails_until_the_runtime_is_configured() {
    let node = Node::new().with_main_file("version = 2\n");
    for name in ["containerd-shim-ssr-v1", "runc"] {
        fs::write(node.at("usr/bin").join(name), "").expect("a file");
    }
    fs::create_dir_all(node.at("sys/fs/cgroup")).expect("a directory");
    fs::write(node.at("sys/fs/cgroup/cgroup.controllers"), "cpu memory pids\n").expect("a file");
    let before = node.ssr(&["check"]);
    assert_eq!(before.code, 1);
    assert!(before.stdout.contains("ERROR  containerd: runtime ssr  not in"), "{}", before.stdout);
    node.ssr(&["install"]).success();
    node.ssr(&["check"]).success();
    assert_eq!(node.check("containerd: runtime ssr")["state"], "ok");
    if node.major_version() < 2 {
        return;
    }
    assert_eq!(node.check("containerd: runtime_path")["found"], "'/usr/bin/containerd-shim-ssr-v1'");
    let dump = node.dump();
    assert_eq!(
        runtimes(&dump)["ssr"]["runtime_path"].as_str(),
        Some("/usr/bin/containerd-shim-ssr-v1"),
        "{dump:?}"
    );
    fs::remove_file(node.at("usr/bin/containerd-shim-ssr-v1")).expect("the shim");
    assert_eq!(node.ssr(&["check"]).code, 1);
    assert_eq!(node.check("containerd: runtime_path")["state"], "error");
}
