//! A private containerd: its root, state, socket, mounts and processes are its own, and
//! all of them go when the value is dropped.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Shared, config};
use crate::images::Image;
use crate::shell::{self, Output};
use crate::{leaks, under_test};

/// How to prepare a machine that has nothing yet.
const SETUP: &str = "run `scripts/setup.sh containerd` as root, or simply `make test`";

/// Mounts are private to this containerd, and so are the directories in which shims keep
/// sockets and state. The loop does what systemd does: it restarts a containerd that was
/// killed, but not one that rejects its configuration. bash is the init process: it reaps
/// orphans, and everything else is killed when it exits.
const INIT: &str = r#"
for private in /run/containerd/s /run/containerd/ssr /run/containerd/runc; do
  mkdir -p "$private" && mount -t tmpfs tmpfs "$private" || exit 1
done
for disk in "$@"; do
  mkdir -p "${disk#*=}" && mount -t tmpfs -o "mode=711,size=${disk%%=*}" tmpfs "${disk#*=}" || exit 1
done
while :; do
  containerd --config "$0"
  code=$?
  ((code == 0 || code > 128)) || exit 1
done
"#;

/// The directory for temporary files of containerd and the shims.
const TEMPORARY: &str = "tmp";

/// The file of the node's configuration, which exists only when a test writes it.
const NODE_CONFIG: &str = "node.toml";

/// A private containerd.
pub struct Containerd {
    dir: tempfile::TempDir,
    namespace: String,
    cgroup: String,
    /// Whether its processes are in a PID namespace of their own.
    own_pids: bool,
    init: Child,
    /// What was mounted before the first container.
    mounts: Vec<String>,
    /// Whether its directories can be seen in its mount namespace only.
    on_disks: bool,
    site: OnceLock<Image>,
    site_to_compile: OnceLock<Image>,
    linux: OnceLock<Image>,
}

impl Containerd {
    /// Starts a containerd for one test, which may restart or kill it.
    pub fn start() -> Self {
        Self::start_with(config::for_ctr, None, true, &[])
    }

    /// Starts a containerd whose directories are small file systems of their own, which a
    /// test can fill: pairs of a size, as `mount` takes it, and a directory below
    /// [`Self::dir`]. Only [`Self::seen`] shows what is in them.
    pub fn start_on_disks(disks: &[(&str, &str)]) -> Self {
        Self::start_with(config::for_ctr, None, true, disks)
    }

    /// Starts a containerd that serves CRI, as a kubelet needs it.
    pub fn start_for_cri() -> Self {
        Self::start_with(config::for_cri, Some("k8s.io"), true, &[])
    }

    /// The same, with the runtime named so that containerd 2.1 asks it for its features: it asks
    /// runc's type alone, and by the path that leads to ours.
    pub fn start_for_cri_that_asks_for_features() -> Self {
        Self::start_with(config::for_cri_by_path, Some("k8s.io"), true, &[])
    }

    /// Starts a containerd whose containers systemd can manage: that knows their processes
    /// by the ids of its own PID namespace. `ctr --runc-systemd-cgroup` works only with the
    /// runtime that is called `io.containerd.runc.v2`, so that is ours here.
    pub fn start_beside_systemd() -> Self {
        Self::start_with(config::for_ctr, None, false, &[])
    }

    /// The same for CRI.
    pub fn start_for_cri_beside_systemd() -> Self {
        Self::start_with(config::for_cri_with_systemd, Some("k8s.io"), false, &[])
    }

    /// The containerd that all tests running at the same time share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Shared<Containerd> = Shared::new();
        SHARED.get(Self::start)
    }

    fn start_with(
        configure: fn(&Path) -> String,
        namespace: Option<&str>,
        own_pids: bool,
        disks: &[(&str, &str)],
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        check_requirements();
        let dir =
            tempfile::Builder::new().prefix("ssr-e2e-").tempdir_in("/tmp").expect("a temporary directory");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("ssr-e2e-{}-{count}", std::process::id());
        let config = dir.path().join("config.toml");
        let temporary = dir.path().join(TEMPORARY);
        fs::create_dir(&temporary).expect("a directory");
        fs::write(&config, configure(dir.path())).expect("a configuration file");
        let log = fs::File::create(dir.path().join("containerd.log")).expect("a log file");
        let mut path = under_test::search_path();
        if !own_pids {
            let shim = under_test::binaries().join("containerd-shim-ssr-v1");
            symlink(shim, dir.path().join("containerd-shim-runc-v2")).expect("a link");
            path = format!("{}:{}", dir.path().display(), path.display()).into();
        }
        let own_temporary = ["TMPDIR", "XDG_RUNTIME_DIR"].into_iter().filter(|_| !disks.is_empty());
        let init = Command::new("unshare")
            .args(["--mount", "--propagation=private", "--fork", "--kill-child"])
            .args(if own_pids { &["--pid", "--mount-proc"][..] } else { &[] })
            .args(["bash", "-c", INIT])
            .arg(config)
            .args(disks.iter().map(|(size, name)| format!("{size}={}", dir.path().join(name).display())))
            .env("PATH", path)
            .env("SSR_NODE_CONFIG", dir.path().join(NODE_CONFIG))
            // The second one is for runc's shim.
            .envs(own_temporary.map(|name| (name, &temporary)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            // Ctrl-C goes to the test runner, which then kills this process.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; {SETUP}"));
        let mut containerd = Self {
            namespace: namespace.unwrap_or(&cgroup).to_owned(),
            dir,
            cgroup,
            own_pids,
            init,
            mounts: Vec::new(),
            on_disks: !disks.is_empty(),
            site: OnceLock::new(),
            site_to_compile: OnceLock::new(),
            linux: OnceLock::new(),
        };
        containerd.wait_until_it_answers();
        containerd.mounts = leaks::mounts(containerd.init_pid());
        containerd
    }

    fn wait_until_it_answers(&mut self) {
        let answer = shell::poll(|| {
            let exited = self.init.try_wait().expect("a child to wait for");
            assert!(exited.is_none(), "containerd exited: {}", self.log());
            let has_init = !leaks::children(self.init.id()).is_empty();
            (has_init && self.answers()).then_some(())
        });
        assert!(answer.is_some(), "containerd does not answer: {}", self.log());
    }

    /// Whether containerd answers on its socket.
    pub fn answers(&self) -> bool {
        shell::run(&mut self.ctr(["version"])).code == 0
    }

    /// `ctr`, connected to this containerd.
    pub fn ctr<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = match self.on_disks {
            // ctr mounts snapshots, too.
            true => self.inside(["ctr"]),
            false => Command::new("ctr"),
        };
        command.arg("--address").arg(self.socket()).args(["--namespace", &self.namespace]).args(args);
        command
    }

    /// Imports an image as a person would, and returns what `ctr` printed.
    pub fn import(&self, image: &Image) -> Output {
        let path = image.path();
        let path = path.to_str().expect("an ordinary path");
        shell::run(&mut self.ctr(["image", "import", "--platform", image.platform(), path])).success()
    }

    /// Imports an image that has not been imported yet.
    pub fn ensure_imported(&self, image: &Image) {
        let known = shell::run(&mut self.ctr(["image", "ls", "-q"])).success();
        if !known.stdout.lines().any(|name| name == image.name()) {
            self.import(image);
        }
    }

    /// The tests' site, imported.
    pub fn site_image(&self) -> &Image {
        self.site.get_or_init(|| self.imported(Image::from_fixture("site.js")))
    }

    /// The same of an engine that the shim does not carry, imported.
    pub fn site_image_to_compile(&self) -> &Image {
        self.site_to_compile.get_or_init(|| self.imported(Image::to_compile("site.js")))
    }

    /// An ordinary Linux image, imported.
    pub fn linux_image(&self) -> &Image {
        self.linux.get_or_init(|| self.imported(Image::linux()))
    }

    fn imported(&self, image: Image) -> Image {
        self.import(&image);
        image
    }

    /// A command in containerd's own namespaces, where process ids are those that
    /// containerd knows.
    pub fn inside<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init_pid().to_string(), "-m", "-p"]).args(args);
        command
    }

    /// The init process of containerd's PID namespace, by its id in this process's
    /// namespace.
    pub fn init_pid(&self) -> u32 {
        *leaks::children(self.init.id()).first().expect("an init process")
    }

    /// containerd's process, by its id in this process's namespace.
    pub fn pid(&self) -> u32 {
        let children = leaks::children(self.init_pid());
        let found = children.iter().find(|pid| leaks::command(**pid).starts_with("containerd "));
        *found.unwrap_or_else(|| panic!("containerd is not running: {}", self.log()))
    }

    /// A container's shim, by its process id in this process's namespace.
    pub fn shim_pid(&self, container: &str) -> u32 {
        let shims = self.shims_of(container);
        *shims.first().unwrap_or_else(|| panic!("{container} has no shim"))
    }

    /// The shims that are running for a container.
    pub fn shims_of(&self, container: &str) -> Vec<u32> {
        let (dir, option) = (self.dir.path().to_string_lossy(), format!(" -id {container} "));
        leaks::processes_with(&["containerd-shim", &dir, &option])
    }

    /// The shims of all its containers, without those that containerd runs to clean up.
    pub fn shims(&self) -> Vec<u32> {
        let shims = leaks::processes_with(&["containerd-shim", &self.dir.path().to_string_lossy(), " -id "]);
        shims.into_iter().filter(|pid| !leaks::command(*pid).trim_end().ends_with(" delete")).collect()
    }

    /// Sends containerd a signal that stops it, and waits until its successor answers.
    pub fn restart(&self, signal: &str) {
        let old = self.pid();
        shell::signal(old, signal);
        let new = shell::poll(|| {
            let exited = !Path::new(&format!("/proc/{old}")).exists();
            (exited && self.answers()).then_some(())
        });
        assert!(new.is_some(), "containerd does not come back: {}", self.log());
    }

    /// A directory for a test's files, removed together with containerd.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path as containerd sees it, which has mounts of its own.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.init_pid()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// The directory of temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.dir().join(TEMPORARY)
    }

    /// The name that all containers' cgroups share.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The containerd namespace of the containers.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What containerd and the shims have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("containerd.log")).unwrap_or_default()
    }

    /// Writes the node's configuration file.
    pub fn configure_node(&self, config: &str) {
        fs::write(self.dir().join(NODE_CONFIG), config).expect("a configuration file");
    }

    /// The directory of the node's code cache, which does not exist until something is
    /// compiled.
    pub fn code_cache(&self) -> PathBuf {
        self.dir().join("root/io.containerd.ssr.v1")
    }

    /// The files of compiled code in the cache.
    pub fn cached_code(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.code_cache()).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
    }

    /// How many compilations the log reports.
    pub fn compilations(&self) -> usize {
        self.log().matches("compiled 'ssr.wasm'").count()
    }

    /// The socket that containerd listens on.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    /// Asserts that the shims have left nothing behind. All containers must have been
    /// removed.
    pub fn assert_clean(&self) {
        let left = || leaks::left_by_containers(self.init_pid(), self.dir.path(), &self.cgroup, &self.mounts);
        let clean = shell::poll_for(shell::SETTLE_TIMEOUT, || left().is_empty().then_some(()));
        assert!(clean.is_some(), "containers left behind: {:#?}", left());
    }

    fn stop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        if !self.own_pids {
            for pid in leaks::processes_with(&[&self.dir.path().to_string_lossy()]) {
                shell::run(Command::new("kill").args(["-KILL", &pid.to_string()]));
            }
        }
        leaks::remove_cgroups(&self.cgroup);
        // The kernel kills the namespace's processes one by one, some time later.
        let left = || leaks::left_by_engine(self.dir.path(), &self.cgroup);
        let clean = shell::poll(|| left().is_empty().then_some(()));
        assert!(clean.is_some() || std::thread::panicking(), "left behind: {:#?}", left());
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of containerd and the shims:\n{}", self.log());
            return self.stop();
        }
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.assert_clean()));
        let log = self.log();
        self.stop();
        if let Err(left) = checked {
            eprintln!("log of containerd and the shims:\n{log}");
            std::panic::resume_unwind(left);
        }
    }
}

fn check_requirements() {
    let root = shell::run(Command::new("id").arg("-u")).stdout.trim() == "0";
    assert!(root, "these tests start containers and need root: {SETUP}");
    for tool in ["containerd", "ctr", "unshare", "nsenter", "busybox"] {
        let found = std::env::split_paths(&under_test::search_path()).any(|dir| dir.join(tool).is_file());
        assert!(found, "{tool} is not installed: {SETUP}");
    }
}
