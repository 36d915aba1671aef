//! A containerd of one's own: its root, state, socket, mounts and processes are
//! nobody else's, and all of them end with the value.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::container::Run;
use crate::leaks;
use crate::shell::{self, Output};
use crate::site::Image;

/// What a person types once as root, on a machine that has nothing yet.
const SETUP: &str = "run `scripts/setup.sh containerd` as root, or simply `make test`";

/// Mounts are private to the lab, and so are the directories in which shims keep
/// sockets and states; bash, the first process, collects orphans. Killing that one process ends all of them.
const INIT: &str = r#"
for private in /run/containerd/s /run/containerd/ssr; do
  mkdir -p "$private" && mount -t tmpfs tmpfs "$private" || exit 1
done
containerd --config "$0" &
wait
"#;

/// A private containerd.
pub struct Lab {
    dir: tempfile::TempDir,
    namespace: String,
    init: Child,
    stopped: bool,
}

impl Lab {
    /// Starts containerd and waits until it answers.
    pub fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        require();
        let dir =
            tempfile::Builder::new().prefix("ssr-e2e-").tempdir_in("/tmp").expect("a temporary directory");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("ssr-e2e-{}-{count}", std::process::id());
        let config = write_config(dir.path());
        let log = fs::File::create(dir.path().join("containerd.log")).expect("a log file");
        let init = Command::new("unshare")
            .args(["--mount", "--propagation=private", "--pid", "--fork"])
            .args(["--mount-proc", "--kill-child", "bash", "-c", INIT])
            .arg(config)
            .env("PATH", search_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            // Ctrl-C is for the test runner, which then ends this one.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; {SETUP}"));
        let mut lab = Self { dir, namespace, init, stopped: false };
        lab.wait();
        lab
    }

    fn wait(&mut self) {
        let answer = shell::poll(|| {
            let ended = self.init.try_wait().expect("a child to wait for");
            assert!(ended.is_none(), "containerd ended: {}", self.log());
            (shell::run(&mut self.ctr(["version"])).code == 0).then_some(())
        });
        assert!(answer.is_some(), "containerd does not answer: {}", self.log());
    }

    /// `ctr`, speaking to this containerd.
    pub fn ctr<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", &self.namespace]).args(args);
        command
    }

    /// Imports an image as a person would and returns what `ctr` said.
    pub fn import(&self, image: &Image) -> Output {
        let path = image.path();
        let path = path.to_str().expect("an ordinary path");
        shell::run(&mut self.ctr(["image", "import", "--platform", "wasi/wasm", path])).success()
    }

    /// A container to be started, of an image that is imported if need be.
    pub fn container(&self, image: &Image) -> Run<'_> {
        let known = shell::run(&mut self.ctr(["image", "ls", "-q"])).success();
        if !known.stdout.lines().any(|name| name == image.name()) {
            self.import(image);
        }
        Run::new(self, image.name())
    }

    /// A command inside the lab's own namespaces, where process ids are those
    /// that containerd knows.
    pub fn inside<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let children = format!("/proc/{0}/task/{0}/children", self.init.id());
        let children = fs::read_to_string(children).expect("the lab's first process");
        let first = children.split_whitespace().next().expect("a process");
        let mut command = Command::new("nsenter");
        command.args(["-t", first, "-m", "-p"]).args(args);
        command
    }

    /// A directory for a test's files, gone with the lab.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What containerd and the shims logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("containerd.log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    /// Ends the lab and asserts that nothing of it is left.
    pub fn stop(mut self) {
        self.clean();
        let left = leaks::of(self.dir.path(), &self.namespace);
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    fn clean(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let _ = self.init.kill();
        let _ = self.init.wait();
        leaks::remove_cgroups(&self.namespace);
        // The kernel ends the processes one after the other, when it gets to it.
        shell::poll(|| leaks::of(self.dir.path(), &self.namespace).is_empty().then_some(()));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("containerd and the shims said:\n{}", self.log());
        }
        let checked = self.stopped;
        self.clean();
        let left = leaks::of(self.dir.path(), &self.namespace);
        if !checked && !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:#?}");
        }
    }
}

fn require() {
    let root = shell::run(Command::new("id").arg("-u")).stdout.trim() == "0";
    assert!(root, "these tests start containers and need root: {SETUP}");
    for tool in ["containerd", "ctr", "unshare", "nsenter"] {
        let found = std::env::split_paths(&search_path()).any(|dir| dir.join(tool).is_file());
        assert!(found, "{tool} is not installed: {SETUP}");
    }
}

/// The shim under test comes first; containerd looks for it in PATH.
fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/local/sbin:/usr/sbin:/sbin", shell::binaries().display())
}

fn write_config(dir: &Path) -> PathBuf {
    let path = dir.join("config.toml");
    let dir = dir.display();
    let text = format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs"]

[grpc]
  address = "{dir}/containerd.sock"
"#
    );
    fs::write(&path, text).expect("a configuration file");
    path
}
