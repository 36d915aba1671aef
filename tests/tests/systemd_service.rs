//! A site as a service of systemd, without a container engine: packaging/systemd. These tests
//! need a machine whose init is systemd: `scripts/vm.sh --systemd`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ssr_e2e::{Image, http, shell, under_test};

/// How long the start of a service may take in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(300);

const SITE: &str = "http://127.0.0.1:8080/";

/// The installed units and a site's archive, removed at the end.
struct Installed(&'static str);

impl Installed {
    fn new(name: &'static str, archive: &[u8]) -> Self {
        let units = under_test::repository().join("packaging/systemd");
        for unit in ["ssr@.service", "ssr@.socket"] {
            fs::copy(units.join(unit), Path::new("/etc/systemd/system").join(unit)).expect("a unit");
        }
        fs::copy(under_test::binaries().join("ssr"), "/usr/local/bin/ssr").expect("ssr");
        fs::create_dir_all("/var/lib/ssr").expect("/var/lib/ssr");
        fs::write(format!("/var/lib/ssr/{name}.tar"), archive).expect("an archive");
        systemctl(&["daemon-reload"]);
        Self(name)
    }

    fn unit(&self, kind: &str) -> String {
        format!("ssr@{}.{kind}", self.0)
    }

    fn property(&self, name: &str) -> String {
        systemctl(&["show", &self.unit("service"), "--value", "--property", name]).trim().to_owned()
    }

    fn unpacked(&self) -> Vec<fs::DirEntry> {
        let directory = format!("/var/cache/private/ssr/{}/containerd-shim-ssr-unpacked", self.0);
        fs::read_dir(directory).expect("the service's cache").map(|entry| entry.expect("an entry")).collect()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let mut stop = Command::new("systemctl");
        shell::run_within(stop.arg("stop").args([self.unit("service"), self.unit("socket")]), PATIENCE);
        let _ = fs::remove_file(format!("/var/lib/ssr/{}.tar", self.0));
    }
}

fn systemctl(args: &[&str]) -> String {
    shell::run_within(Command::new("systemctl").args(args), PATIENCE).success().stdout
}

fn answer() -> http::Answer {
    http::get_within(SITE, PATIENCE).expect("an answer")
}

#[test]
fn a_site_is_started_by_its_first_request_and_restricted_and_started_again() {
    let archive = fs::read(Image::from_fixture("site.js").path()).expect("an archive");
    let site = Installed::new("blog", &archive);
    systemctl(&["start", &site.unit("socket")]);
    assert_eq!(answer().status, 200);
    assert_eq!(site.property("ActiveState"), "active");
    let pid = site.property("MainPID");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(!status.contains("Uid:\t0"), "{status}");
    let networks = shell::run(Command::new("nsenter").args(["-t", &pid, "-n", "ip", "-brief", "link"]));
    assert_eq!(networks.success().stdout.lines().count(), 1, "loopback alone");

    systemctl(&["restart", &site.unit("service")]);
    assert_eq!(answer().status, 200);
    let killed = site.property("MainPID");
    shell::run(Command::new("kill").args(["-KILL", &killed])).success();
    assert_eq!(answer().status, 200, "the socket holds the request until the site is there again");
    assert_ne!(site.property("MainPID"), killed);
    assert_eq!(site.unpacked().len(), 1, "the killed one's files are gone");

    systemctl(&["stop", &site.unit("service"), &site.unit("socket")]);
    assert_eq!((site.property("Result").as_str(), site.unpacked().len()), ("success", 0));
}

#[test]
fn a_broken_archive_fails_the_service_for_good() {
    let site = Installed::new("broken", b"no archive");
    let mut start = Command::new("systemctl");
    let started = shell::run_within(start.args(["start", &site.unit("service")]), PATIENCE);
    assert_ne!(started.code, 0);
    assert_eq!(
        (site.property("ActiveState").as_str(), site.property("ExecMainStatus").as_str()),
        ("failed", "65")
    );
    assert_eq!(site.property("NRestarts"), "0");
    systemctl(&["reset-failed", &site.unit("service")]);
}
