//! `make demo` and `make demo-stop`, without the build.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ssr_e2e::shell::{self, Output};
use ssr_e2e::{Image, http, leaks, under_test};

/// A demo with a name of its own, stopped at the latest when the value is dropped.
struct Demo {
    name: String,
    port: u16,
}

impl Demo {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("ssr-e2e-demo-{}-{count}", std::process::id()), port: http::free_port() }
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(under_test::repository().join("scripts").join(name));
        command.env("DEMO", &self.name).env("PORT", self.port.to_string());
        command
    }

    fn start(&self, image: &Path) -> Output {
        shell::run(self.script("demo.sh").arg(image))
    }

    fn stop(&self) -> Output {
        shell::run(&mut self.script("demo-stop.sh"))
    }

    fn directories(&self) -> [PathBuf; 2] {
        ["/run", "/var/lib"].map(|parent| Path::new(parent).join(&self.name))
    }

    fn assert_gone(&self) {
        for directory in self.directories() {
            let left = leaks::left_by_engine(&directory, &self.name);
            assert!(left.is_empty(), "left behind: {left:#?}");
            assert!(!directory.exists(), "{} is left", directory.display());
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn the_demo_serves_the_site_and_is_removed_without_a_trace() {
    let demo = Demo::new();
    let started = demo.start(&Image::from_fixture("site.js").path()).success();
    let url = format!("http://localhost:{}/", demo.port);
    assert!(started.stdout.contains(&url), "{}", started.stdout);
    assert!(started.stdout.contains("site.log"), "{}", started.stdout);
    assert!(http::get(&url).body.contains("hello from the module"));

    demo.stop().success();
    assert!(!http::is_open(demo.port));
    demo.assert_gone();
}

#[test]
fn stopping_twice_or_before_the_first_start_is_not_an_error() {
    let demo = Demo::new();
    demo.stop().success();
    demo.stop().success();
    demo.assert_gone();
}

#[test]
fn starting_again_replaces_the_running_demo() {
    let demo = Demo::new();
    let image = Image::from_fixture("site.js");
    demo.start(&image.path()).success();
    demo.start(&image.path()).success();
    assert_eq!(http::get(&format!("http://localhost:{}/", demo.port)).status, 200);
    demo.stop().success();
    demo.assert_gone();
}

#[test]
fn a_taken_port_is_reported_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut demo = Demo::new();
    demo.port = taken.local_addr().unwrap().port();
    let output = demo.start(&Image::from_fixture("site.js").path());
    assert_ne!(output.code, 0);
    let expected = format!("port {} is taken", demo.port);
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    demo.assert_gone();
}

#[test]
fn a_site_that_does_not_start_says_why_and_leaves_nothing_behind() {
    let demo = Demo::new();
    let output = demo.start(&Image::from_module(b"\0asm\x01\0\0\0").path());
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("ssr build"), "{}", output.stderr);
    demo.assert_gone();
}

#[test]
fn a_demo_whose_containerd_was_killed_is_cleaned_up() {
    let demo = Demo::new();
    demo.start(&Image::from_fixture("site.js").path()).success();
    let run = demo.directories()[0].clone();
    // As the kernel's out-of-memory killer would.
    let containerd = format!("containerd --config {}/config.toml", run.display());
    let pid = leaks::process(&containerd).expect("the demo's containerd");
    shell::run(Command::new("kill").args(["-KILL", &pid.to_string()])).success();
    demo.stop().success();
    demo.assert_gone();
}
