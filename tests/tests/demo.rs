//! `make demo` and `make demo-stop`, without the building.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ssr_e2e::shell::{self, Output};
use ssr_e2e::{Image, http, leaks};

/// A demo of its own name, stopped at the end of the test at the latest.
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
        let mut command = Command::new(shell::repository().join("scripts").join(name));
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
            let left = leaks::of(&directory, &self.name);
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
fn the_demo_serves_the_site_and_goes_without_a_trace() {
    let demo = Demo::new();
    let started = demo.start(&Image::of_site("site.js").path()).success();
    let url = format!("http://localhost:{}/", demo.port);
    assert!(started.stdout.contains(&url), "{}", started.stdout);
    assert!(started.stdout.contains("site.log"), "{}", started.stdout);
    assert!(http::get(&url).body.contains("hello from the module"));

    demo.stop().success();
    assert!(!http::is_open(demo.port));
    demo.assert_gone();
}

#[test]
fn stopping_twice_or_what_never_ran_is_no_error() {
    let demo = Demo::new();
    demo.stop().success();
    demo.stop().success();
    demo.assert_gone();
}

#[test]
fn starting_again_replaces_the_demo_that_runs() {
    let demo = Demo::new();
    let image = Image::of_site("site.js");
    demo.start(&image.path()).success();
    demo.start(&image.path()).success();
    assert_eq!(http::get(&format!("http://localhost:{}/", demo.port)).status, 200);
    demo.stop().success();
    demo.assert_gone();
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut demo = Demo::new();
    demo.port = taken.local_addr().unwrap().port();
    let output = demo.start(&Image::of_site("site.js").path());
    assert_ne!(output.code, 0);
    let expected = format!("port {} is taken", demo.port);
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    demo.assert_gone();
}

#[test]
fn a_site_that_does_not_start_says_why_and_leaves_nothing() {
    let demo = Demo::new();
    let output = demo.start(&Image::of_module(b"\0asm\x01\0\0\0").path());
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("ssr build"), "{}", output.stderr);
    demo.assert_gone();
}

#[test]
fn a_demo_that_was_killed_half_way_is_cleaned_up() {
    let demo = Demo::new();
    demo.start(&Image::of_site("site.js").path()).success();
    let run = demo.directories()[0].clone();
    // What an out-of-memory killer would do to containerd.
    let containerd = format!("containerd --config {}/config.toml", run.display());
    let pid = leaks::process(&containerd).expect("the demo's containerd");
    shell::run(Command::new("kill").args(["-KILL", &pid.to_string()])).success();
    demo.stop().success();
    demo.assert_gone();
}
