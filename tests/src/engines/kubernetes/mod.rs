//! A node of Kubernetes: etcd, a control plane, containerd, kubelet and kube-proxy in
//! namespaces of their own. All of it goes when the value is dropped.

mod config;
mod traffic;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use serde_norway::Value;

use super::config::PAUSE;
use crate::images::Image;
use crate::manifests::Manifests;
use crate::shell::{self, Output};
use crate::{leaks, under_test};

pub use traffic::{Lost, Traffic};

const INIT: &str = include_str!("node.sh");

/// How long a node may take until it is ready, and pods until they are.
const READY: Duration = Duration::from_secs(180);

/// The namespace of Kubernetes' containers in containerd.
const NAMESPACE: &str = "k8s.io";

/// A node, and the only one of its cluster.
pub struct Kubernetes {
    dir: tempfile::TempDir,
    cgroup: String,
    init: Child,
    linux: Image,
}

impl Kubernetes {
    /// Starts a node and waits until it is ready for pods. It has the label that says that
    /// the shim is installed, the demo's site as `docker.io/library/site:latest`, and
    /// [`Self::linux_image`].
    pub fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir =
            tempfile::Builder::new().prefix("ssr-k8s-").tempdir_in("/tmp").expect("a temporary directory");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("ssr-k8s-{}-{count}", std::process::id());
        config::write(dir.path(), &cgroup);
        install_shim(dir.path());
        let log = File::create(dir.path().join("init.log")).expect("a log file");
        let path = format!(
            "{}:{}:{}",
            dir.path().join("bin").display(),
            tool_directory().display(),
            under_test::search_path().display()
        );
        // Nothing may outlive a test runner that is killed.
        let init = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--net",
                "--pid",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["--propagation", "private", "bash", "-c", INIT, "node.sh"])
            .arg(dir.path())
            .arg(&cgroup)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            // Ctrl-C goes to the test runner, which then kills this process.
            .process_group(0)
            .spawn()
            .expect("setpriv: run `scripts/setup.sh kubernetes` as root, or `make test-kubernetes`");
        let mut node = Self { dir, cgroup, init, linux: Image::linux() };
        node.wait_until_ready();
        node.import(&node.linux.path(), node.linux.platform());
        shell::run(&mut node.ctr(["image", "tag", node.linux.name(), PAUSE])).success();
        node.import(&under_test::repository().join("target/image/site.tar"), "wasi/wasm");
        node.kubectl(["label", "node", "node", "containerd-shim-ssr=ready"]);
        node
    }

    fn wait_until_ready(&mut self) {
        let condition = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let ready = shell::poll_for(READY, || {
            let exited = self.init.try_wait().expect("a child to wait for");
            assert!(exited.is_none(), "the node's init process exited: {}", self.log("../init"));
            if leaks::children(self.init.id()).is_empty() {
                return None;
            }
            let node = self.try_kubectl(["get", "node", "node", "-o", condition]);
            // Pods are refused until it exists.
            let account = self.try_kubectl(["get", "serviceaccount", "default"]);
            (node.stdout == "True" && account.code == 0).then_some(())
        });
        assert!(ready.is_some(), "the node does not become ready: {}", self.logs());
    }

    /// A small Linux system, imported. No registry has it.
    pub fn linux_image(&self) -> &str {
        self.linux.name()
    }

    /// Imports an image.
    pub fn import(&self, archive: &Path, platform: &str) {
        let archive = archive.to_str().expect("an ordinary path");
        shell::run(&mut self.ctr(["image", "import", "--platform", platform, archive])).success();
    }

    /// A command in the node's namespaces.
    pub fn inside<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init_pid().to_string(), "-m", "-n", "-p", "-u", "-i", "--"]).args(args);
        command.env("KUBECONFIG", self.dir.path().join("kubeconfig")).env("HOME", self.dir.path());
        command
    }

    fn ctr<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.inside(["ctr", "--namespace", NAMESPACE, "--address", config::SOCKET]);
        command.args(args);
        command
    }

    /// `kubectl` of the cluster's version, which may fail.
    pub fn try_kubectl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        shell::run_within(&mut self.kubectl_command(args), READY)
    }

    /// What kubectl prints.
    pub fn kubectl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        self.try_kubectl(args).success().stdout
    }

    /// `kubectl`, not started.
    pub fn kubectl_command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let kubectl = tool_directory().join("kubectl");
        let mut command = self.inside([kubectl.to_str().expect("an ordinary path")]);
        command.args(args);
        command
    }

    /// Applies what the cluster's version has, and returns the kinds of the other objects:
    /// those of newer API versions.
    pub fn apply(&self, manifests: &Manifests) -> Vec<String> {
        let known = self.kubectl(["api-versions"]);
        let is_known = |object: &&Value| known.lines().any(|version| object["apiVersion"] == version);
        let (known, unknown): (Vec<_>, Vec<_>) = manifests.objects.iter().partition(is_known);
        let text: Vec<String> =
            known.iter().map(|object| serde_norway::to_string(object).expect("YAML")).collect();
        self.apply_text(&text.join("---\n"));
        unknown.iter().map(|object| object["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// Applies documents.
    pub fn apply_text(&self, text: &str) {
        let mut command = self.kubectl_command(["apply", "-f", "-"]);
        shell::run_with_input(&mut command, text, || true).success();
    }

    /// Waits until all pods of a Deployment are updated and ready.
    pub fn wait_for_rollout(&self, deployment: &str) {
        let waited = self.try_kubectl(["rollout", "status", "--timeout=150s", "deployment", deployment]);
        assert_eq!(waited.code, 0, "{}{}{}", waited.stdout, waited.stderr, self.describe_pods());
    }

    /// Waits until a pod is ready.
    pub fn wait_for_pod(&self, pod: &str) {
        let waited = self.try_kubectl(["wait", "--for=condition=Ready", "--timeout=150s", "pod", pod]);
        assert_eq!(waited.code, 0, "{}{}{}", waited.stdout, waited.stderr, self.describe_pods());
    }

    /// Waits until the node is ready and tells the truth about pods again: until a command can
    /// be executed in each, and its log be read.
    pub fn wait_until_pods_run(&self, pods: &[String]) {
        for pod in pods {
            let runs = shell::poll(|| {
                let executed = self.try_kubectl(["exec", pod, "--", "ssr", "health"]);
                (executed.code == 0 && self.try_kubectl(["logs", pod]).code == 0).then_some(())
            });
            assert!(runs.is_some(), "{pod} cannot be reached:\n{}", self.describe_pods());
            self.wait_for_pod(pod);
        }
    }

    /// What `kubectl describe` says of all pods.
    pub fn describe_pods(&self) -> String {
        self.try_kubectl(["describe", "pods"]).stdout
    }

    /// A field of objects, as `kubectl get` prints it with a JSONPath.
    pub fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(["get", object, "-o", &format!("jsonpath={path}")])
    }

    /// A pod's field, as [`Self::field`].
    pub fn pod(&self, name: &str, path: &str) -> String {
        self.field(&format!("pod/{name}"), path)
    }

    /// The names of pods with a label, those that are being stopped included.
    pub fn pods(&self, label: &str) -> Vec<String> {
        let names = self.kubectl(["get", "pods", "-l", label, "-o", "jsonpath={.items[*].metadata.name}"]);
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// The address at which kube-proxy answers for a service.
    pub fn service(&self, name: &str) -> String {
        self.field(&format!("service/{name}"), "{.spec.clusterIP}")
    }

    /// What an endpoint of kubelet's answers, such as `/stats/summary`.
    pub fn kubelet(&self, path: &str) -> String {
        self.kubectl(["get", "--raw", &format!("/api/v1/nodes/node/proxy{path}")])
    }

    /// Runs a function on a thread that sees the node's network.
    pub fn in_network<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                self.enter_network();
                run()
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn enter_network(&self) {
        let namespace = File::open(format!("/proc/{}/ns/net", self.init_pid())).expect("a network namespace");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
    }

    /// Kills one of the node's processes, which is started again, and waits for its successor.
    pub fn kill(&self, name: &str) {
        let old = self.pid(name).unwrap_or_else(|| panic!("{name} is not running: {}", self.log(name)));
        shell::signal(old, "KILL");
        let new = shell::poll(|| self.pid(name).filter(|pid| *pid != old));
        assert!(new.is_some(), "{name} does not come back: {}", self.log(name));
    }

    fn pid(&self, name: &str) -> Option<u32> {
        let prefix = format!("{name} ");
        let started_by = leaks::children(self.init_pid());
        let mut children = started_by.into_iter().flat_map(leaks::children);
        children.find(|pid| leaks::command(*pid).starts_with(&prefix))
    }

    /// Replaces the installed shim by another file, as an upgrade does.
    pub fn upgrade_shim(&self) {
        install_shim(self.dir.path());
    }

    /// The running shims of the node's pods.
    pub fn shims(&self) -> Vec<u32> {
        leaks::processes_with(&[&self.dir.path().join("bin/containerd-shim-").to_string_lossy(), " -id "])
    }

    /// The node's init process, by its id in this process's namespace.
    pub fn init_pid(&self) -> u32 {
        *leaks::children(self.init.id()).first().expect("an init process")
    }

    /// The node's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("logs/{name}.log"))).unwrap_or_default()
    }

    /// The last lines of each process's log.
    fn logs(&self) -> String {
        let names = [
            "../init",
            "etcd",
            "apiserver",
            "controller-manager",
            "scheduler",
            "proxy",
            "containerd",
            "kubelet",
        ];
        let last = |name: &str| {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(15);
            format!("\n{name}:\n{}\n", lines.get(from..).unwrap_or_default().join("\n"))
        };
        names.map(last).concat()
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}{}", self.describe_pods(), self.logs());
        }
        let _ = self.init.kill();
        let _ = self.init.wait();
        leaks::remove_cgroups(&self.cgroup);
        // The kernel kills the namespace's processes one by one, some time later.
        let left = || leaks::left_by_engine(self.dir.path(), &self.cgroup);
        let clean = shell::poll(|| left().is_empty().then_some(()));
        assert!(clean.is_some() || std::thread::panicking(), "left behind: {:#?}", left());
    }
}

/// The directory of Kubernetes' binaries.
fn tool_directory() -> PathBuf {
    let bin = under_test::repository().join(".cache/kubernetes/bin");
    assert!(
        bin.join("kubelet").is_file(),
        "{} has no kubelet: run `scripts/setup.sh kubernetes`",
        bin.display()
    );
    bin
}

/// Puts the shim under test where the node's containerd finds it, as `make install` does.
fn install_shim(dir: &Path) {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).expect("a directory");
    let (new, installed) = (bin.join("new"), bin.join("containerd-shim-ssr-v1"));
    fs::copy(under_test::binaries().join("containerd-shim-ssr-v1"), &new).expect("a copy");
    fs::rename(new, installed).expect("a file");
}
