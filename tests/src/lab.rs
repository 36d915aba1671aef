//! A containerd of one's own: its root, state, socket, mounts and processes are
//! nobody else's, and all of them end with the value.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::container::Run;
use crate::leaks;
use crate::shell::{self, Output};
use crate::{Image, config};

/// What a person types once as root, on a machine that has nothing yet.
const SETUP: &str = "run `scripts/setup.sh containerd` as root, or simply `make test`";

/// Mounts are private to the lab, and so are the directories in which shims keep
/// sockets and states. As systemd would, it starts a containerd that was killed
/// again, but not one that refuses its configuration. The first process, bash,
/// collects orphans; its end is the end of all.
const INIT: &str = r#"
for private in /run/containerd/s /run/containerd/ssr; do
  mkdir -p "$private" && mount -t tmpfs tmpfs "$private" || exit 1
done
while :; do
  containerd --config "$0"
  code=$?
  ((code == 0 || code > 128)) || exit 1
done
"#;

/// The node's configuration; not there unless a test writes it.
const NODE_CONFIG: &str = "node.toml";

/// A private containerd.
pub struct Lab {
    dir: tempfile::TempDir,
    namespace: String,
    cgroup: String,
    init: Child,
    mounts: Vec<String>,
    site: OnceLock<Image>,
    linux: OnceLock<Image>,
}

impl Lab {
    /// Starts a containerd for one test: for those that restart or kill it.
    pub fn start() -> Self {
        Self::start_with(config::of_tasks, None)
    }

    /// Starts a containerd that answers a kubelet.
    pub fn start_for_pods() -> Self {
        Self::start_with(config::of_pods, Some("k8s.io"))
    }

    /// The containerd that all tests have in common which run at the moment.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let lab = Arc::new(Self::start());
            *shared = Arc::downgrade(&lab);
            lab
        })
    }

    fn start_with(configure: fn(&Path) -> String, namespace: Option<&str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        require();
        let dir =
            tempfile::Builder::new().prefix("ssr-e2e-").tempdir_in("/tmp").expect("a temporary directory");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("ssr-e2e-{}-{count}", std::process::id());
        let config = dir.path().join("config.toml");
        fs::write(&config, configure(dir.path())).expect("a configuration file");
        let log = fs::File::create(dir.path().join("containerd.log")).expect("a log file");
        let init = Command::new("unshare")
            .args(["--mount", "--propagation=private", "--pid", "--fork"])
            .args(["--mount-proc", "--kill-child", "bash", "-c", INIT])
            .arg(config)
            .env("PATH", shell::search_path())
            .env("SSR_NODE_CONFIG", dir.path().join(NODE_CONFIG))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            // Ctrl-C is for the test runner, which then ends this one.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; {SETUP}"));
        let mut lab = Self {
            namespace: namespace.unwrap_or(&cgroup).to_owned(),
            dir,
            cgroup,
            init,
            mounts: Vec::new(),
            site: OnceLock::new(),
            linux: OnceLock::new(),
        };
        lab.wait();
        lab.mounts = leaks::mounts(lab.first());
        lab
    }

    fn wait(&mut self) {
        let answer = shell::poll(|| {
            let ended = self.init.try_wait().expect("a child to wait for");
            assert!(ended.is_none(), "containerd ended: {}", self.log());
            self.answers().then_some(())
        });
        assert!(answer.is_some(), "containerd does not answer: {}", self.log());
    }

    fn answers(&self) -> bool {
        shell::run(&mut self.ctr(["version"])).code == 0
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
        shell::run(&mut self.ctr(["image", "import", "--platform", image.platform(), path])).success()
    }

    /// A container to be started, of an image that is imported if need be.
    pub fn container(&self, image: &Image) -> Run<'_> {
        let known = shell::run(&mut self.ctr(["image", "ls", "-q"])).success();
        if !known.stdout.lines().any(|name| name == image.name()) {
            self.import(image);
        }
        Run::new(self, image.name())
    }

    /// A container of the tests' site.
    pub fn site(&self) -> Run<'_> {
        Run::new(self, self.site_image().name())
    }

    /// The tests' site, imported.
    pub fn site_image(&self) -> &Image {
        self.site.get_or_init(|| self.imported(Image::of_site("site.js")))
    }

    /// A container of an ordinary Linux image that runs a command.
    pub fn linux<'s>(&self, args: impl IntoIterator<Item = &'s str>) -> Run<'_> {
        Run::new(self, self.linux_image().name()).args(args)
    }

    /// An ordinary Linux image, imported.
    pub fn linux_image(&self) -> &Image {
        self.linux.get_or_init(|| self.imported(Image::of_linux()))
    }

    fn imported(&self, image: Image) -> Image {
        self.import(&image);
        image
    }

    /// A command inside the lab's own namespaces, where process ids are those
    /// that containerd knows.
    pub fn inside<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first().to_string(), "-m", "-p"]).args(args);
        command
    }

    /// The lab's first process, by the id that this process knows it by.
    pub fn first(&self) -> u32 {
        *leaks::children(self.init.id()).first().expect("the lab's first process")
    }

    /// containerd, by the id that this process knows it by.
    pub fn containerd(&self) -> u32 {
        let children = leaks::children(self.first());
        let found = children.iter().find(|pid| leaks::command(**pid).starts_with("containerd "));
        *found.unwrap_or_else(|| panic!("containerd does not run: {}", self.log()))
    }

    /// The shim of a container, by the id that this process knows it by.
    pub fn shim(&self, container: &str) -> u32 {
        let option = format!(" -id {container} ");
        let found = leaks::descendants(self.first()).into_iter().find(|pid| {
            let command = leaks::command(*pid);
            command.contains("containerd-shim") && command.contains(&option)
        });
        found.unwrap_or_else(|| panic!("{container} has no shim"))
    }

    /// Sends containerd a signal, and waits for the one that comes after it.
    pub fn restart(&self, signal: &str) {
        let old = self.containerd();
        shell::signal(old, signal);
        let new = shell::poll(|| {
            let ended = !Path::new(&format!("/proc/{old}")).exists();
            (ended && self.answers()).then_some(())
        });
        assert!(new.is_some(), "containerd does not come back: {}", self.log());
    }

    /// A directory for a test's files, gone with the lab.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The name that the containers' cgroups have in common.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The namespace of the containers.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What containerd and the shims logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("containerd.log")).unwrap_or_default()
    }

    /// Sets what a node's administrator sets.
    pub fn configure_node(&self, config: &str) {
        fs::write(self.dir().join(NODE_CONFIG), config).expect("a configuration file");
    }

    /// The directory of the node's compiled code; not there until something is compiled.
    pub fn code_cache(&self) -> PathBuf {
        self.dir().join("root/io.containerd.ssr.v1")
    }

    /// The files of compiled code.
    pub fn compiled(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.code_cache()).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
    }

    /// How many compilations were told of.
    pub fn compilations(&self) -> usize {
        self.log().matches("compiled 'ssr.wasm'").count()
    }

    /// Where containerd listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    /// Whether the shims have left anything; there must be no container any more.
    pub fn assert_clean(&self) {
        let left = || leaks::of_containers(self.first(), self.dir.path(), &self.cgroup, &self.mounts);
        let clean = shell::poll_for(shell::SOON, || left().is_empty().then_some(()));
        assert!(clean.is_some(), "containers have left behind: {:#?}", left());
    }

    fn end(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        leaks::remove_cgroups(&self.cgroup);
        // The kernel ends the processes one after the other, when it gets to it.
        let left = || leaks::of(self.dir.path(), &self.cgroup);
        let ended = shell::poll(|| left().is_empty().then_some(()));
        assert!(ended.is_some() || std::thread::panicking(), "left behind: {:#?}", left());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("containerd and the shims said:\n{}", self.log());
            return self.end();
        }
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.assert_clean()));
        let log = self.log();
        self.end();
        if let Err(left) = checked {
            eprintln!("containerd and the shims said:\n{log}");
            std::panic::resume_unwind(left);
        }
    }
}

fn require() {
    let root = shell::run(Command::new("id").arg("-u")).stdout.trim() == "0";
    assert!(root, "these tests start containers and need root: {SETUP}");
    for tool in ["containerd", "ctr", "unshare", "nsenter", "busybox"] {
        let found = std::env::split_paths(&shell::search_path()).any(|dir| dir.join(tool).is_file());
        assert!(found, "{tool} is not installed: {SETUP}");
    }
}
