//! `ssr node` and Docker's own configuration, in the namespaces of `scripts/in-debian.sh`,
//! which keep it off the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use ssr_e2e::shell::{self, Output};
use ssr_e2e::under_test;

const DAEMON_JSON: &str = "/etc/docker/daemon.json";

fn ssr(args: &[&str]) -> Output {
    shell::run(under_test::ssr(["node"]).args(args).args(["--engine", "docker"]))
}

/// What dockerd says of its file.
fn validate() -> Output {
    shell::run(Command::new("dockerd").args(["--validate", "--config-file", DAEMON_JSON]))
}

#[test]
fn docker_accepts_what_is_installed_and_the_file_is_put_back() {
    assert!(
        std::env::var_os("SSR_DEBIAN_RELEASE").is_some(),
        "this test changes {DAEMON_JSON}: run it with `scripts/in-debian.sh forky TEST`, or simply `make test`"
    );
    let debug = "{\n\t\"debug\": true,\n\t\"runtimes\": {\n\t\t\"x\": { \"path\": \"/bin/x\" }\n\t}\n}";
    for before in [None, Some(debug)] {
        let _ = fs::remove_dir_all("/etc/docker");
        if let Some(text) = before {
            fs::create_dir_all("/etc/docker").expect("a directory");
            fs::write(DAEMON_JSON, text).expect("a file");
        }
        let installed = ssr(&["install"]).success();
        assert!(installed.stderr.contains("are hidden from the restart on"), "{}", installed.stderr);
        validate().success();
        let text = fs::read_to_string(DAEMON_JSON).expect("a file");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["features"]["containerd-snapshotter"], true);
        assert_eq!(value["runtimes"]["ssr"]["runtimeType"], "io.containerd.ssr.v1");
        let checked = ssr(&["check"]);
        assert!(checked.stdout.contains("containerd's (daemon.json)"), "{}", checked.stdout);
        ssr(&["remove"]).success();
        match before {
            Some(text) => assert_eq!(fs::read_to_string(DAEMON_JSON).expect("a file"), text),
            None => assert!(!Path::new("/etc/docker").exists()),
        }
    }
}
