//! A private Docker. It needs the namespaces of `scripts/in-debian.sh`, which keep its
//! bridges, firewall rules, mounts and files off the machine.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Shared;
use crate::images::Image;
use crate::shell::{self, Output};
use crate::{leaks, under_test};

/// A containerd and a dockerd.
pub struct Docker {
    dir: tempfile::TempDir,
    containerd: Mutex<Child>,
    dockerd: Mutex<Child>,
    mounts: Vec<String>,
    site: OnceLock<Image>,
    linux: OnceLock<Image>,
}

/// Whether a `Docker` exists. Two cannot share a network.
static RUNNING: AtomicBool = AtomicBool::new(false);

impl Docker {
    /// The Docker that all tests running at the same time share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Shared<Docker> = Shared::new();
        SHARED.get(Self::start)
    }

    /// Starts both daemons, after any others have stopped, and waits until they answer.
    pub fn start() -> Self {
        assert!(
            std::env::var_os("SSR_DEBIAN_RELEASE").is_some(),
            "these tests start Docker and need namespaces of their own: run them with \
             `scripts/in-debian.sh forky TEST`, or simply `make test`"
        );
        let alone = shell::poll(|| (!RUNNING.swap(true, Ordering::SeqCst)).then_some(()));
        assert!(alone.is_some(), "another Docker does not stop");
        let dir = tempfile::Builder::new().prefix("ssr-e2e-").tempdir().expect("a temporary directory");
        let config = serde_json::json!({
            "features": { "containerd-snapshotter": true },
            "cgroup-parent": format!("/{}", cgroup_name(dir.path())),
            // Containers keep running while dockerd is restarted.
            "live-restore": true,
            // Wrong, as people write it.
            "runtimes": { "by-path": { "path": under_test::binaries().join("containerd-shim-ssr-v1") } },
        });
        fs::write(dir.path().join("daemon.json"), config.to_string()).expect("a configuration file");
        let containerd = Mutex::new(containerd(dir.path()));
        let dockerd = Mutex::new(dockerd(dir.path()));
        let (site, linux) = (OnceLock::new(), OnceLock::new());
        let mut docker = Self { dir, containerd, dockerd, mounts: Vec::new(), site, linux };
        docker.wait_until_it_answers();
        docker.mounts = leaks::mounts(std::process::id());
        docker
    }

    fn wait_until_it_answers(&self) {
        let answer = || shell::run(Command::new("docker").arg("version"));
        let answers = shell::poll(|| (answer().code == 0).then_some(()));
        assert!(answers.is_some(), "dockerd does not answer: {}", self.log());
    }

    /// Runs a shell script, which may fail. `$site` and `$linux` stand for the tests'
    /// images, with the options that make them run under the shim.
    pub fn try_sh(&self, script: &str) -> Output {
        shell::run(&mut self.bash(script))
    }

    /// Runs a shell script, which must succeed, and returns its standard output.
    pub fn sh(&self, script: &str) -> String {
        self.try_sh(script).success().stdout
    }

    /// Runs a shell script, which may fail, on a terminal of 40 rows and 100 columns.
    pub fn try_sh_on_terminal(&self, script: &str) -> Output {
        let bash = self.bash(script);
        let mut terminal = shell::on_terminal(&bash, 40, 100);
        terminal.envs(bash.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell::run(&mut terminal)
    }

    fn bash(&self, script: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script]);
        let site = self.site.get_or_init(|| self.loaded(Image::from_fixture("site.js")));
        let linux = self.linux.get_or_init(|| self.loaded(Image::linux()));
        let runtime = format!("--runtime={}", under_test::runtime());
        bash.env("site", format!("{runtime} --platform=wasi/wasm {}", site.short_name()));
        bash.env("linux", format!("{runtime} {}", linux.short_name()));
        bash
    }

    /// Loads an image with `docker load`.
    pub fn loaded(&self, image: Image) -> Image {
        shell::run(Command::new("docker").args(["load", "--input"]).arg(image.path())).success();
        image
    }

    /// A container of that name, which need not exist yet. It is removed when the value is
    /// dropped.
    pub fn named<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named { docker: self, name }
    }

    /// Stops dockerd as an upgrade does, and starts it again.
    pub fn restart_dockerd(&self) {
        let mut dockerd_now = self.dockerd.lock();
        shell::signal(dockerd_now.id(), "TERM");
        shell::wait(&mut dockerd_now);
        *dockerd_now = dockerd(self.dir.path());
        self.wait_until_it_answers();
    }

    /// Kills containerd and starts it again.
    pub fn restart_containerd(&self) {
        let mut containerd_now = self.containerd.lock();
        shell::signal(containerd_now.id(), "KILL");
        shell::wait(&mut containerd_now);
        *containerd_now = containerd(self.dir.path());
        // dockerd answers all the time, but needs a while to reconnect to containerd.
        let connected =
            "docker version --format '{{range .Server.Components}}{{.Name}} {{end}}' | grep -w containerd";
        let answer = shell::poll(|| (self.try_sh(connected).code == 0).then_some(()));
        assert!(answer.is_some(), "dockerd does not reconnect to containerd: {}", self.log());
    }

    /// The name of the cgroup above all containers' cgroups.
    pub fn cgroup(&self) -> String {
        cgroup_name(self.dir.path())
    }

    /// A directory for a test's files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("containerd:\n{}dockerd:\n{}", read("containerd.log"), read("dockerd.log"))
    }
}

fn cgroup_name(dir: &Path) -> String {
    dir.file_name().expect("a name").to_string_lossy().into_owned()
}

fn containerd(dir: &Path) -> Child {
    let mut command = Command::new("containerd");
    command.arg("--root").arg(dir.join("root")).arg("--state").arg(dir.join("state"));
    spawn(&mut command, &dir.join("containerd.log"))
}

fn dockerd(dir: &Path) -> Child {
    let mut command = Command::new("dockerd");
    command.arg("--config-file").arg(dir.join("daemon.json")).arg("--data-root").arg(dir.join("docker"));
    command.args(["--containerd", "/run/containerd/containerd.sock"]);
    spawn(&mut command, &dir.join("dockerd.log"))
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(log).expect("a log file");
    command
        .env("PATH", under_test::search_path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

impl Drop for Docker {
    fn drop(&mut self) {
        let left = || {
            let left = leaks::left_by_containers(1, self.dir.path(), &self.cgroup(), &self.mounts);
            // dockerd keeps the host's network namespace mounted once a container has used it.
            left.into_iter().filter(|line| !line.contains("/run/docker/netns/default")).collect::<Vec<_>>()
        };
        let clean = shell::poll_for(shell::SETTLE_TIMEOUT, || left().is_empty().then_some(()));
        let left = left();
        for daemon in [&self.dockerd, &self.containerd] {
            let mut daemon = daemon.lock();
            shell::signal(daemon.id(), "TERM");
            let _ = shell::wait(&mut daemon);
        }
        leaks::remove_cgroups(&self.cgroup());
        RUNNING.store(false, Ordering::SeqCst);
        if clean.is_none() || std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if clean.is_none() && !std::thread::panicking() {
            panic!("containers left behind: {left:#?}");
        }
    }
}

/// A container by its name.
pub struct Named<'a> {
    docker: &'a Docker,
    name: &'a str,
}

impl Named<'_> {
    /// What `docker inspect --format` prints.
    pub fn inspect(&self, format: &str) -> String {
        let output = self.docker.sh(&format!("docker inspect --format '{format}' {}", self.name));
        output.trim_end().to_owned()
    }

    /// Waits until `docker inspect --format` prints a value.
    pub fn wait_for(&self, format: &str, value: &str) {
        let found = shell::poll(|| (self.inspect(format) == value).then_some(()));
        assert!(found.is_some(), "{format} is {}, not {value}: {}", self.inspect(format), self.logs());
    }

    /// The container's standard output, then its standard error.
    pub fn logs(&self) -> String {
        let output = self.docker.try_sh(&format!("docker logs {}", self.name));
        output.stdout + &output.stderr
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&self, text: &str) {
        let found = shell::poll(|| self.logs().contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in the log: {}", self.logs());
    }

    /// The content of a file in the container's cgroup.
    pub fn cgroup_file(&self, name: &str) -> String {
        let id = self.inspect("{{.Id}}");
        let cgroups = leaks::cgroups(&self.docker.cgroup());
        let mut files = cgroups.iter().filter(|dir| dir.ends_with(&id)).map(|dir| dir.join(name));
        let file = files.find(|file| file.is_file()).unwrap_or_else(|| panic!("no {name} in {cgroups:#?}"));
        fs::read_to_string(file).expect("a file").trim_end().to_owned()
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.docker.try_sh(&format!("docker rm --force {} >/dev/null 2>&1", self.name));
    }
}
