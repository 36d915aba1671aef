//! Cgroups that systemd manages, which is k3s's default: each container is a scope. These
//! tests need a machine whose init is systemd, on cgroup v2: `scripts/vm.sh --systemd`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use ssr_e2e::cri::{Cri, Spec};
use ssr_e2e::{Container, Containerd, http, leaks, shell};

/// 200 MiB.
const LIMIT: u64 = 200 << 20;

/// How long a request may take that the bus does not answer. The shim gives runc, which would
/// wait for ever, two minutes to make a container and half a minute to remove it.
const PATIENCE: Duration = Duration::from_secs(180);

/// Milliseconds from one fault to the next while a container is made, and how many.
const STEP: u64 = 150;
const ROUNDS: u64 = 6;

/// The socket on which systemd answers root without a bus.
const PRIVATE_SOCKET: &str = "/run/systemd/private";

/// A container in a scope of its own.
struct Scoped<'a> {
    container: Container<'a>,
    name: String,
}

impl<'a> Scoped<'a> {
    fn started(containerd: &'a Containerd, kind: &str) -> Self {
        let (scoped, started) = Self::try_start(containerd, kind);
        started.unwrap_or_else(|error| panic!("{kind}: {error}"));
        scoped
    }

    /// `ctr run` with the systemd driver, which may fail.
    fn try_start(containerd: &'a Containerd, kind: &str) -> (Self, Result<(), String>) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", containerd.cgroup(), COUNT.fetch_add(1, Ordering::Relaxed));
        let run = match kind {
            "site" => containerd.site(),
            _ => containerd.linux(["sleep", "1000"]),
        };
        let (limit, cgroup) = (LIMIT.to_string(), format!("system.slice:ssr:{name}"));
        let options = ["--runtime", "io.containerd.runc.v2", "--runc-systemd-cgroup", "--cgroup", &cgroup];
        let options = options.into_iter().chain(["--memory-limit", &limit]);
        let run = options.fold(run, |run, option| run.option(option));
        let (container, output) = run.try_detach_to(containerd.dir().join(format!("{name}.log")), PATIENCE);
        let result = if output.code == 0 { Ok(()) } else { Err(output.stderr) };
        (Self { container, name }, result)
    }

    fn unit(&self) -> String {
        format!("ssr-{}.scope", self.name)
    }

    fn cgroup(&self) -> PathBuf {
        PathBuf::from("/sys/fs/cgroup/system.slice").join(self.unit())
    }

    fn file(&self, name: &str) -> String {
        let path = self.cgroup().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    fn pids(&self) -> Vec<String> {
        self.file("cgroup.procs").lines().map(str::to_owned).collect()
    }

    /// What is left of it once its task is gone.
    fn left(&self) -> Vec<String> {
        let mut left: Vec<_> =
            leaks::cgroups(&self.unit()).iter().map(|path| format!("cgroup {}", path.display())).collect();
        // The unit's name taken for a path.
        let path = format!("system.slice:ssr:{}", self.name);
        left.extend(leaks::cgroups(&path).iter().map(|path| format!("cgroup {}", path.display())));
        let units = ["list-units", "--all", "--plain", "--no-legend", "--no-pager"];
        let units = shell::run(Command::new("systemctl").args(units).arg(self.unit())).stdout;
        left.extend(units.lines().map(|line| format!("unit {line}")));
        let shims = self.container.containerd().shims_of(self.container.id());
        left.extend(shims.iter().map(|pid| format!("process {pid}: {}", leaks::command(*pid))));
        left
    }

    /// Deletes the task, whatever is left of it, and finds nothing afterwards.
    fn remove(self) {
        self.container.task(&["kill", "-s", "SIGKILL"]);
        self.container.wait_for_exit();
        let deleted = self.container.task(&["delete", "--force"]);
        let clean = shell::poll_for(shell::SETTLE_TIMEOUT, || self.left().is_empty().then_some(()));
        assert!(clean.is_some(), "left behind: {:#?}\n{}", self.left(), deleted.stderr);
        assert_eq!(self.container.listed(), None);
    }
}

/// Waits for a site, whose module is compiled first. Emulation takes minutes for that.
fn answers(url: &str) -> bool {
    shell::poll_for(shell::COMPILE_TIMEOUT, || http::try_get(url).ok()).is_some()
}

fn systemctl(args: &[&str]) {
    shell::run(Command::new("systemctl").args(args)).success();
}

#[test]
fn a_container_is_a_scope_with_its_limits_from_start_to_removal() {
    let containerd = Containerd::start_beside_systemd();
    for kind in ["linux", "site"] {
        let scoped = Scoped::started(&containerd, kind);
        let container = &scoped.container;
        let pid = container.pid().to_string();
        assert!(scoped.pids().contains(&pid), "{pid} is not in {:?}", scoped.pids());
        assert_eq!(scoped.file("memory.max"), LIMIT.to_string());
        systemctl(&["is-active", &scoped.unit()]);

        let metrics = container.task(&["metrics"]).success().stdout;
        let value = |name: &str| -> u64 {
            let line = metrics.lines().find(|line| line.split_whitespace().next() == Some(name));
            let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            value.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
        };
        assert!(value("memory.usage") > 0 && value("cpu.usage_usec") > 0, "{metrics}");
        assert_eq!(value("memory.usage_limit"), LIMIT, "{metrics}");

        match kind {
            "site" => {
                let url = container.url("/");
                assert!(answers(&url), "the site does not answer");
                assert_eq!(container.exec(&["ssr", "health"]).code, 0);
            }
            _ => {
                // Read from outside: the container sees its own cgroup as the root.
                let mut exec = containerd.ctr(["task", "exec", "--exec-id", "beside", container.id()]);
                let mut exec = exec.args(["sleep", "2000"]).spawn().expect("ctr");
                let joined = shell::poll(|| (scoped.pids().len() == 2).then_some(()));
                assert!(joined.is_some(), "the process is not in the scope: {:?}", scoped.pids());
                container.task(&["kill", "-s", "SIGKILL", "--exec-id", "beside"]).success();
                assert_eq!(shell::wait(&mut exec), 137);
            }
        }
        assert_eq!(container.process_count(), 1);

        container.task(&["pause"]).success();
        container.wait_for_status("PAUSED");
        assert!(scoped.file("cgroup.events").contains("frozen 1"), "{}", scoped.file("cgroup.events"));
        container.task(&["resume"]).success();
        container.wait_for_status("RUNNING");
        assert!(scoped.file("cgroup.events").contains("frozen 0"), "{}", scoped.file("cgroup.events"));

        container
            .update(&json!({ "memory": { "limit": 2 * LIMIT }, "pids": { "limit": 50 } }))
            .expect("an update");
        assert_eq!(
            (scoped.file("memory.max"), scoped.file("pids.max")),
            ((2 * LIMIT).to_string(), "50".to_owned())
        );
        // systemd writes what it knows when it reads its configuration again.
        systemctl(&["daemon-reload"]);
        assert_eq!(scoped.file("memory.max"), (2 * LIMIT).to_string());
        scoped.remove();
    }
}

#[test]
fn pods_in_slices_have_statistics_and_limits() {
    let containerd = Containerd::start_for_cri_beside_systemd();
    let cri = Cri::connect(&containerd);
    let slice = "ssrpods-podone.slice";
    let pod = cri.run_pod_in_slice("one", slice);
    let env = [("SSR_LISTEN", "127.0.0.1:0")];
    let memory = LIMIT.cast_signed();
    let site =
        pod.start(containerd.site_image(), &Spec { name: "site", env: &env, memory, ..Spec::default() });
    let command = ["sleep", "1000"];
    let sidecar =
        pod.start(containerd.linux_image(), &Spec { name: "sidecar", command: &command, ..Spec::default() });
    for container in [&site, &sidecar] {
        let stats = container.stats();
        let memory = stats.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |value| value.value);
        let cpu = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
        assert!(memory > 0 && cpu > 0, "memory {memory}, cpu {cpu}");
    }
    let cgroup = PathBuf::from("/sys/fs/cgroup/ssrpods.slice").join(slice);
    let scope = cgroup.join(format!("cri-containerd-{}.scope", site.id()));
    let limit = || fs::read_to_string(scope.join("memory.max")).expect("memory.max").trim_end().to_owned();
    assert_eq!(limit(), LIMIT.to_string());
    site.limit_memory(2 * LIMIT.cast_signed());
    assert_eq!(limit(), (2 * LIMIT).to_string());
    assert_eq!(sidecar.exec(&["true"]).expect("an answer").exit_code, 0);
    pod.stop();

    let scopes = || {
        let left = leaks::cgroups(slice);
        left.into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "scope"))
            .collect::<Vec<_>>()
    };
    let clean = shell::poll_for(shell::SETTLE_TIMEOUT, || scopes().is_empty().then_some(()));
    assert!(clean.is_some(), "left behind: {:#?}", scopes());
    systemctl(&["stop", "ssrpods.slice"]);
}

#[test]
fn a_killed_shim_leaves_no_scope() {
    let containerd = Containerd::start_beside_systemd();
    for kind in ["linux", "site"] {
        let scoped = Scoped::started(&containerd, kind);
        shell::signal(containerd.shim_pid(scoped.container.id()), "KILL");
        scoped.remove();
    }
}

#[test]
fn whatever_is_killed_while_a_container_is_made_no_scope_is_left() {
    let containerd = Containerd::start_beside_systemd();
    // Made and imported first: what is killed below is the start.
    containerd.linux_image();
    containerd.site_image();
    for round in 0..ROUNDS {
        for kind in ["linux", "site"] {
            println!("round {round}, {kind}");
            let (scoped, _) = thread::scope(|scope| {
                let start = scope.spawn(|| Scoped::try_start(&containerd, kind));
                let appeared = shell::poll(|| (!containerd.shims().is_empty()).then_some(()));
                assert!(appeared.is_some(), "no shim");
                // Later in each round, so that the fault hits each step of the creation.
                thread::sleep(Duration::from_millis(STEP * round));
                for shim in containerd.shims() {
                    // What the shim has started is killed with it, as by a kernel short of memory.
                    for pid in leaks::descendants(shim).into_iter().chain([shim]) {
                        shell::run(Command::new("kill").args(["-KILL", &pid.to_string()]));
                    }
                }
                start.join().expect("ctr")
            });
            scoped.remove();
        }
    }
    // When a shim is killed before containerd knows it, containerd starts no cleanup.
    shell::run(&mut containerd.inside(["find", "/run/containerd/s", "-type", "s", "-delete"])).success();
}

/// What the bus does meanwhile.
struct Outage(&'static [&'static str], &'static [&'static str]);

impl Outage {
    fn begin(commands: &'static [&'static str], end: &'static [&'static str]) -> Self {
        let outage = Self(commands, end);
        Self::run(outage.0);
        outage
    }

    fn run(commands: &[&str]) {
        for command in commands {
            shell::run(Command::new("sh").args(["-c", command])).success();
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        Self::run(self.1);
    }
}

/// What becomes of a container that is started during an outage.
#[derive(Clone, Copy)]
enum Start {
    /// The error contains this.
    Fails(&'static str),
    /// A site's fails, and the error contains this. runc reaches systemd by another way, or waits
    /// for the bus until the shim ends it with the same word.
    FailsUnlessRunc(&'static str),
}

/// Starts and ends containers during an outage, within a bounded time each.
fn use_during(outage: impl Fn() -> Outage, expected: Start, verbs: &[&[&str]]) {
    let containerd = Containerd::start_beside_systemd();
    for kind in ["linux", "site"] {
        let running = Scoped::started(&containerd, kind);
        let timed = |what: &str, start: Instant, result: &Result<(), String>| {
            let took = start.elapsed();
            println!("{kind}: {what} took {:.1} s: {result:?}", took.as_secs_f32());
            assert!(took < PATIENCE, "{kind}: {what} took {took:?}");
        };
        let scoped = {
            let _outage = outage();
            let start = Instant::now();
            let (scoped, created) = Scoped::try_start(&containerd, kind);
            timed("create and start", start, &created);
            match (expected, kind, created) {
                (Start::FailsUnlessRunc(_), "linux", Ok(())) => {}
                (Start::Fails(reason) | Start::FailsUnlessRunc(reason), _, Err(message)) => {
                    assert!(message.contains(reason), "{message}");
                }
                (_, _, created) => panic!("{kind}: {created:?}"),
            }
            for verb in verbs {
                let start = Instant::now();
                let mut ctr = containerd.ctr(["task"]);
                let output = shell::run_within(ctr.args(*verb).arg(running.container.id()), PATIENCE);
                let result = if output.code == 0 { Ok(()) } else { Err(output.stderr) };
                timed(verb[0], start, &result);
            }
            scoped
        };
        running.remove();
        scoped.remove();
    }
}

const ALL: &[&[&str]] = &[&["pause"], &["resume"], &["kill", "-s", "SIGKILL"], &["delete", "--force"]];

#[test]
fn without_a_bus_sites_are_refused_at_once_and_all_can_be_removed() {
    let stop = &["systemctl stop dbus.service dbus.socket"];
    let start = &["systemctl start dbus.socket dbus.service"];
    use_during(|| Outage::begin(stop, start), Start::FailsUnlessRunc("dbus.service"), ALL);
}

#[test]
fn a_bus_that_does_not_answer_delays_runc_for_a_bounded_time_and_sites_for_seconds() {
    let stop = &["systemctl start dbus.service", "systemctl kill --signal=STOP dbus.service"];
    let start = &["systemctl kill --signal=CONT dbus.service"];
    use_during(|| Outage::begin(stop, start), Start::FailsUnlessRunc("dbus.service"), ALL);
}

#[test]
fn without_a_bus_and_without_systemd_the_error_says_so_and_nothing_is_left() {
    // Connecting to a socket that was moved away fails at once.
    assert!(fs::exists(PRIVATE_SOCKET).expect("/run"), "systemd is not the init");
    let stop = &["systemctl stop dbus.service dbus.socket", "mv /run/systemd/private /run/systemd/away"];
    let start = &["mv /run/systemd/away /run/systemd/private", "systemctl start dbus.socket dbus.service"];
    use_during(|| Outage::begin(stop, start), Start::Fails("system"), ALL);
}
