//! A registry of this test's own, on loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::images::Image;
use crate::{http, shell, under_test};

/// Debian's docker-registry on loopback; `scripts/setup.sh registry` puts it into .cache.
pub struct Registry {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Registry {
    /// Starts an empty one.
    pub fn start() -> Self {
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

    /// The name that an image has there.
    pub fn name_of(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}", self.port)
    }

    /// Sends an image there by `ssr push`. Returns its name with its digest.
    pub fn push(&self, image: &Image, name: &str) -> String {
        let mut push = under_test::ssr(["push", "--plain-http"]);
        shell::run(push.arg(image.path()).arg(name)).success().stdout.trim().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
