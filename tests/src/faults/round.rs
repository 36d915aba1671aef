//! A round: load, a fault, removal of everything through containerd's API, and a look at
//! what is left and at what containerd reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::fault::{self, DISKS, Fault, Hit};
use super::load::{self, Load, Record};
use super::random::Random;
use super::report::{Outcome, Report};
use crate::containers::{Status, Tasks};
use crate::{Containerd, http, leaks, shell, under_test};

/// How many workers each run one container after the other.
const WORKERS: u64 = 3;

/// How many clients ask the site that outlives all rounds.
const CLIENTS: usize = 2;

/// The container that outlives all rounds.
const STEADY: &str = "steady";

/// How long it may take until nothing is left of a removed container.
const SETTLE: Duration = Duration::from_secs(15);

/// How long processes may take to end: a shim that containerd has forgotten waits for a minute
/// before it does.
const PROCESSES: Duration = Duration::from_secs(90);

/// How long containerd may take to report what has happened.
const REPORT: Duration = Duration::from_secs(30);

/// How long the first start may take: it compiles, in a virtual machine maybe.
const FIRST_START: Duration = Duration::from_secs(300);

const SIGKILL: u32 = 9;

/// A containerd with a site that no fault is aimed at.
pub struct Soak {
    containerd: Containerd,
    seed: u64,
    port: u16,
    url: String,
    shim: u32,
    before: BTreeSet<String>,
    descriptors: usize,
}

impl Soak {
    /// Starts containerd and the site.
    pub fn start(seed: u64) -> Self {
        let containerd = Containerd::start_on_disks(&DISKS);
        let port = http::free_port();
        let url = format!("http://127.0.0.1:{port}{}", load::page());
        containerd.linux_image();
        let tasks = Tasks(&containerd);
        load::site(&containerd, port).try_create(STEADY).success();
        tasks.create(STEADY, None).expect("the site is created");
        tasks.start(STEADY, "").expect("the site starts");
        let answers = || http::try_get(&url).is_ok_and(|answer| answer.status == 200).then_some(());
        assert!(
            shell::poll_for(FIRST_START, answers).is_some(),
            "the site does not answer: {}",
            containerd.log()
        );
        let shim = containerd.shim_pid(STEADY);
        let mut soak = Self { containerd, seed, port, url, shim, before: BTreeSet::new(), descriptors: 0 };
        // What the first exec makes the shim keep is not counted.
        let load = Load::new(&soak.containerd, 0);
        load.stop();
        assert_eq!(load.exec_in((STEADY, port), Random::new(seed, 0)), Vec::<String>::new());
        // Threads and descriptors that the start needed go some time later.
        thread::sleep(Duration::from_secs(1));
        (soak.before, soak.descriptors) = (soak.left(), soak.descriptors());
        soak
    }

    /// One round, which is entered in the report.
    pub fn round(&mut self, number: u64, report: &mut Report) {
        let start = Instant::now();
        let mut random = Random::new(self.seed, number << 8);
        let possible = Fault::possible();
        let fault = *random.choose(&possible).expect("a fault");
        if fault.needs_compilation() || random.chance(5) {
            fault::clear_cache(&self.containerd);
        }
        let load = Load::new(&self.containerd, number);
        let stop_clients = AtomicBool::new(false);
        let mut outcome = Outcome::new(number, fault);
        let logged = self.containerd.log().len();
        let (hit, steady_failures) = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(|| load::ask(&self.url, &stop_clients))).collect();
            let workers = (1..=WORKERS).map(|worker| {
                let random = Random::new(self.seed, (number << 8) + worker);
                let load = &load;
                scope.spawn(move || load.work(random))
            });
            let workers: Vec<_> = workers.collect();
            let execs = {
                let random = Random::new(self.seed, (number << 8) + WORKERS + 1);
                let (load, port) = (&load, self.port);
                scope.spawn(move || load.exec_in((STEADY, port), random))
            };
            thread::sleep(random.millis(0..900));
            let hit = fault.happen(&self.containerd, &format!("r{number}-"), STEADY, &mut random);
            thread::sleep(random.millis(50..300));
            load.stop();
            for worker in workers {
                worker.join().expect("a worker");
            }
            let failures = execs.join().expect("a worker");
            stop_clients.store(true, Ordering::SeqCst);
            for client in clients {
                let (answered, lost) = client.join().expect("a client");
                outcome.answered += answered;
                outcome.wrong.extend(lost.into_iter().map(|error| format!("{STEADY}: {error}")));
            }
            (hit, failures)
        });
        outcome.missed = hit.is_none();
        let hit = hit.unwrap_or_default();
        outcome.what.clone_from(&hit.what);
        self.judge_steady(&hit, steady_failures, &mut outcome);
        for record in load.into_records() {
            outcome.containers += 1;
            self.judge(&record, fault, &hit, &mut outcome);
            self.remove(&record, &mut outcome);
            let _ = fs::remove_file(self.containerd.dir().join(format!("{}.log", record.id)));
        }
        let judged = Instant::now();
        self.look_for_leftovers(&mut outcome);
        outcome.log = self.containerd.log().split_off(logged);
        outcome.settled = judged.elapsed();
        outcome.time = start.elapsed();
        report.add(outcome, self.seed);
    }

    /// The site that outlives the round: only an exec of it may have been hit.
    fn judge_steady(&self, hit: &Hit, failures: Vec<String>, outcome: &mut Outcome) {
        let affected = hit.operations || hit.containers.iter().any(|id| id == STEADY);
        if !affected || failures.iter().any(|failure| failure.contains("cannot be removed")) {
            outcome.wrong.extend(failures.into_iter().map(|failure| format!("{STEADY}: {failure}")));
        }
        match Tasks(&self.containerd).get(STEADY, "") {
            Ok(Some(task)) if task.status == Status::Running => {}
            other => outcome.wrong.push(format!("{STEADY} is {other:?}, not running")),
        }
    }

    /// Compares what containerd says of a container with what must have become of it.
    fn judge(&self, record: &Record, fault: Fault, hit: &Hit, outcome: &mut Outcome) {
        let id = &record.id;
        let targeted = hit.containers.contains(id);
        // Without them, a site compiles its module itself.
        let excused = targeted && !matches!(fault, Fault::Provider | Fault::Compiler);
        // An operation may fail while containerd does not answer. What a site or a process does
        // has nothing to do with that.
        let counts = |failure: &&String| {
            !hit.operations || failure.starts_with("request: ") || failure.contains("ended with ")
        };
        if !excused {
            let failures = record.failures.iter().filter(counts);
            outcome.wrong.extend(failures.map(|failure| format!("{id}, unaffected: {failure}")));
        }
        if let Some(hang) = record.failures.iter().find(|failure| failure.contains("no answer within")) {
            outcome.wrong.push(format!("{id}: {hang}"));
        }
        if record.removed || !targeted || !matches!(fault, Fault::Shim | Fault::Init) {
            return;
        }
        let mut last = None;
        let reported = shell::poll_for(REPORT, || {
            last = Tasks(&self.containerd).get(id, "").ok();
            match last {
                Some(None) => Some(()),
                Some(Some(task)) if task.status == Status::Stopped(137) => Some(()),
                _ => None,
            }
        });
        if reported.is_none() {
            outcome.wrong.push(format!("{id}: killed, but reported as {last:?}"));
        }
    }

    /// Removes what is left of a container as a person would.
    fn remove(&self, record: &Record, outcome: &mut Outcome) {
        if record.removed {
            return;
        }
        let (id, tasks) = (&record.id, Tasks(&self.containerd));
        let mut last = String::new();
        let ended = shell::poll_for(REPORT, || {
            let task = match tasks.get(id, "") {
                Ok(Some(task)) => task,
                Ok(None) => return Some(()),
                Err(error) => {
                    last = error.to_string();
                    return None;
                }
            };
            last = format!("{:?}", task.status);
            match task.status {
                Status::Stopped(code) => {
                    let unexpected = record.ran && !record.codes.contains(&code);
                    if unexpected {
                        outcome.wrong.push(format!("{id}: ended with {code}, not {:?}", record.codes));
                    }
                    return Some(());
                }
                Status::Paused => drop(tasks.pause(id, false)),
                _ => {}
            }
            if let Err(error) = tasks.kill(id, "", SIGKILL) {
                last = format!("{last}; {error}");
            }
            None
        });
        if ended.is_none() {
            outcome.wrong.push(format!("{id} cannot be killed: {last}"));
        }
        let removed = shell::poll_for(REPORT, || {
            match tasks.delete(id, "") {
                Err(error) if !error.not_found => {
                    last = error.to_string();
                    return None;
                }
                _ => {}
            }
            tasks.delete_container(id).map_err(|error| last = error.to_string()).ok()
        });
        if removed.is_none() {
            outcome.wrong.push(format!("{id} cannot be removed: {last}"));
        }
    }

    fn look_for_leftovers(&mut self, outcome: &mut Outcome) {
        let surplus = || self.left().difference(&self.before).cloned().collect::<Vec<_>>();
        let start = Instant::now();
        let settled = || {
            let left = surplus();
            let waits = start.elapsed() < SETTLE || left.iter().any(|line| line.starts_with("process "));
            (left.is_empty() || !waits).then_some(left)
        };
        outcome.left = by_cgroup(shell::poll_for(PROCESSES, settled).unwrap_or_else(surplus));
        let descriptors = || Some(self.descriptors()).filter(|count| *count <= self.descriptors);
        if shell::poll_for(SETTLE, descriptors).is_none() {
            let (before, after) = (self.descriptors, self.descriptors());
            outcome.left.push(format!("descriptors of a shim: {after} instead of {before}"));
        }
        // Each is reported once.
        (self.before, self.descriptors) = (self.left(), self.descriptors());
    }

    /// Everything that there is of containers.
    fn left(&self) -> BTreeSet<String> {
        let (containerd, init) = (&self.containerd, self.containerd.init_pid());
        let mut left: BTreeSet<String> =
            leaks::left_by_containers(init, containerd.dir(), containerd.cgroup(), &[]).into_iter().collect();
        left.retain(|line| !line.contains("[bash]"));
        for directory in ["/run/containerd/ssr", "/run/containerd/runc"] {
            files(&containerd.seen(Path::new(directory)), &mut left);
        }
        let bundle = format!("state/io.containerd.runtime.v2.task/{}/{STEADY}", containerd.namespace());
        files(&containerd.seen(&containerd.dir().join(bundle)), &mut left);
        // What is given to runc for an exec.
        files(&containerd.temporary(), &mut left);
        if under_test::is_ours() {
            left.extend(empty_cgroups_of_compilers());
        }
        left
    }

    /// How many files the surviving shim has open.
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.shim)).map_or(0, Iterator::count)
    }

    /// Removes the site, and checks what is left of everything.
    pub fn end(self, report: &mut Report) {
        let mut outcome = Outcome::new(0, Fault::Shim);
        let record = Record {
            id: STEADY.to_owned(),
            codes: vec![137],
            ran: true,
            removed: false,
            failures: Vec::new(),
        };
        self.remove(&record, &mut outcome);
        report.end(outcome);
        self.containerd.assert_clean();
    }
}

/// Other engines on this machine have theirs in the same place, with processes.
fn empty_cgroups_of_compilers() -> impl Iterator<Item = String> {
    let all = fault::cgroups_of_compilers().into_iter();
    let empty = all.filter(|path| {
        fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|pids| pids.trim().is_empty())
    });
    empty.map(|path| format!("cgroup {}", path.display()))
}

/// One line for a cgroup, which has a directory in each hierarchy of cgroup v1.
fn by_cgroup(lines: Vec<String>) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let (hierarchy, name) =
            match line.strip_prefix("cgroup /sys/fs/cgroup/").and_then(|path| path.split_once('/')) {
                Some((hierarchy, name)) => (hierarchy.to_owned(), format!("cgroup {name}")),
                None => (String::new(), line),
            };
        found.entry(name).or_default().push(hierarchy);
    }
    let line = |(name, hierarchies): (String, Vec<String>)| match hierarchies[0].is_empty() {
        true => name,
        false => format!("{name} ({})", hierarchies.join(", ")),
    };
    found.into_iter().map(line).collect()
}

/// The files of a directory that are not in a root filesystem.
fn files(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.insert(format!("file {}", entry.path().display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != "rootfs" {
            files(&entry.path(), found);
        }
    }
}
