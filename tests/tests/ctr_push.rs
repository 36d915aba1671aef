//! `ssr push`: what arrives in a registry is what containerd pulls and runs.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use ssr_e2e::{Containerd, Image, http, shell, under_test};

/// Debian's docker-registry on loopback; `scripts/setup.sh registry` puts it into .cache.
struct Registry {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let program = under_test::repository().join(".cache/registry/usr/bin/docker-registry");
        assert!(program.exists(), "docker-registry is missing: run scripts/setup.sh registry");
        let directory = tempfile::tempdir().expect("a directory");
        let (config, port) = (directory.path().join("config.yml"), http::free_port());
        let data = directory.path().join("data");
        // JSON is YAML.
        let settings = json!({
            "version": 0.1, "storage": { "filesystem": { "rootdirectory": data } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        fs::write(&config, settings.to_string()).expect("a configuration");
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let registry = Self { child, port, _directory: directory };
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        assert!(shell::poll(listens).is_some(), "the registry does not listen");
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pushed_image_is_pulled_by_name_and_by_digest() {
    let registry = Registry::start();
    let image = Image::from_fixture("site.js");
    let name = format!("127.0.0.1:{}/me/site:1", registry.port);
    let mut push = under_test::ssr(["push", "--plain-http"]);
    let pushed = shell::run(push.arg(image.path()).arg(&name)).success();
    let digest = pushed.stdout.trim().to_owned();

    let containerd = Containerd::start();
    for reference in [name.as_str(), digest.as_str()] {
        let args = ["image", "pull", "--plain-http", "--platform", "wasi/wasm", reference];
        shell::run(&mut containerd.ctr(args)).success();
    }
    let list = shell::run(&mut containerd.ctr(["image", "ls"])).success().stdout;
    let line = list.lines().find(|line| line.starts_with(&name)).expect("the image");
    let expected = digest.rsplit_once('@').expect("a digest").1;
    assert!(line.contains("wasi/wasm") && line.contains(expected), "{list}");
    assert!(line.contains("application/vnd.oci.image.manifest.v1+json"), "no index: {list}");
}
