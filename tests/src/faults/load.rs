//! What goes on while faults happen: containers come and go, and clients ask sites for
//! pages.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::random::Random;
use super::victims::EXECUTED;
use crate::containers::{CallError, Run, Status, Tasks};
use crate::{Containerd, http, shell, under_test};

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;

/// A web server among ordinary Linux programs, for runtimes that run those only. It ends
/// with 0 when it is told to.
const HTTPD: &str = "trap 'exit 0' TERM; httpd -f -p 127.0.0.1:$PORT -h / & wait";

/// How long an unaffected site may take to answer. A module may have to be compiled, by a
/// process that yields to all others.
const START: Duration = Duration::from_secs(120);

/// A container that the load has made.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// The exit codes that its first process may have, by what was asked of it so far.
    pub codes: Vec<u32>,
    /// Whether its process was seen to serve or run.
    pub ran: bool,
    /// Whether it has been removed.
    pub removed: bool,
    /// What has failed, and when.
    pub failures: Vec<String>,
}

/// The load of one round.
pub struct Load<'a> {
    containerd: &'a Containerd,
    round: u64,
    count: AtomicU32,
    stop: AtomicBool,
    records: Mutex<Vec<Record>>,
}

type Step = Result<(), String>;

impl<'a> Load<'a> {
    /// Starts nothing yet.
    pub fn new(containerd: &'a Containerd, round: u64) -> Self {
        let (count, stop, records) = Default::default();
        Self { containerd, round, count, stop, records }
    }

    /// Makes the workers end after the containers that they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The containers of the round, once the workers have ended.
    pub fn into_records(self) -> Vec<Record> {
        self.records.into_inner()
    }

    /// Runs one container after the other until the load is stopped.
    pub fn work(&self, mut random: Random) {
        loop {
            let is_site = random.chance(60);
            let id = format!("r{}-{}", self.round, self.count.fetch_add(1, Ordering::SeqCst));
            let (codes, failures) = Default::default();
            let mut record = Record { id, codes, ran: false, removed: false, failures };
            let done = match is_site {
                true => self.site(&mut record, &mut random),
                false => self.linux(&mut record, &mut random),
            };
            match done {
                Ok(()) => record.removed = true,
                Err(failure) => record.failures.push(failure),
            }
            let failed = !record.failures.is_empty();
            self.records.lock().push(record);
            if self.stopped() {
                return;
            }
            if failed {
                // As a person would, who tries again.
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn tasks(&self) -> Tasks<'_> {
        Tasks(self.containerd)
    }

    fn site(&self, record: &mut Record, random: &mut Random) -> Step {
        let port = http::free_port();
        let log = self.containerd.dir().join(format!("{}.log", record.id));
        let id = record.id.clone();
        create(site(self.containerd, port), &id)?;
        let tasks = self.tasks();
        // Killed by whoever removes it, if nothing else has happened.
        record.codes = vec![137];
        step("create", tasks.create(&id, log.to_str()))?;
        if random.chance(10) {
            return self.remove(record);
        }
        step("start", tasks.start(&id, ""))?;
        let url = format!("http://127.0.0.1:{port}{}", page());
        self.wait_for_answer(&id, &url).map_err(|error| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{error}; its log: {}", log.trim_end())
        })?;
        record.ran = true;
        for _ in 0..random.number(1..6) {
            answer(&url)?;
        }
        if random.chance(30) {
            self.pause(&id, random)?;
            answer(&url)?;
        }
        if random.chance(40) {
            self.run_in((&id, port), "x1", &health(), 0, None)?;
        }
        record.codes = vec![0, 137];
        step("kill", tasks.kill(&id, "", SIGTERM))?;
        self.ended(&id, "", 0)?;
        self.remove(record)
    }

    fn linux(&self, record: &mut Record, random: &mut Random) -> Step {
        let id = record.id.clone();
        create(self.containerd.linux(["sleep", "1000"]), &id)?;
        let tasks = self.tasks();
        record.codes = vec![137];
        step("create", tasks.create(&id, None))?;
        if random.chance(10) {
            return self.remove(record);
        }
        step("start", tasks.start(&id, ""))?;
        record.ran = true;
        if random.chance(80) {
            self.run_in((&id, 0), "x1", &EXECUTED, 128 + SIGTERM, Some(random.millis(0..300)))?;
        }
        if random.chance(30) {
            self.pause(&id, random)?;
        }
        if random.chance(30) {
            self.run_in((&id, 0), "x2", &["true"], 0, None)?;
        }
        step("kill", tasks.kill(&id, "", SIGKILL))?;
        self.ended(&id, "", 137)?;
        self.remove(record)
    }

    fn pause(&self, id: &str, random: &mut Random) -> Step {
        step("pause", self.tasks().pause(id, true))?;
        thread::sleep(random.millis(0..50));
        step("resume", self.tasks().pause(id, false))
    }

    /// Executes a process, which ends with `code`, or is ended after a time.
    fn run_in(
        &self,
        (id, port): (&str, u16),
        name: &str,
        args: &[&str],
        code: u32,
        limit: Option<Duration>,
    ) -> Step {
        let tasks = self.tasks();
        step("exec", tasks.exec(id, name, args, port))?;
        step("start of exec", tasks.start(id, name))?;
        if let Some(limit) = limit {
            thread::sleep(limit);
            step("kill of exec", tasks.kill(id, name, SIGTERM))?;
        }
        self.ended(id, name, code)?;
        step("delete of exec", tasks.delete(id, name))
    }

    /// Executes processes in a container that outlives the round, again and again, until the
    /// load is stopped. Returns what has failed.
    pub fn exec_in(&self, (id, port): (&str, u16), mut random: Random) -> Vec<String> {
        let mut failures = Vec::new();
        for number in 0.. {
            let name = format!("r{}x{number}", self.round);
            if let Err(failure) = self.run_in((id, port), &name, &health(), 0, None) {
                failures.push(failure);
                // It may never have been added or started.
                let _ = self.tasks().kill(id, &name, SIGKILL);
                let removed =
                    shell::poll_for(shell::SETTLE_TIMEOUT, || match self.tasks().delete(id, &name) {
                        Ok(_) => Some(()),
                        Err(error) => error.not_found.then_some(()),
                    });
                if removed.is_none() {
                    failures.push(format!("process {name} cannot be removed"));
                }
            }
            if self.stopped() {
                break;
            }
            thread::sleep(random.millis(100..400));
        }
        failures
    }

    fn ended(&self, id: &str, exec_id: &str, code: u32) -> Step {
        let start = Instant::now();
        loop {
            match self.tasks().get(id, exec_id).map_err(|error| format!("get: {error}"))? {
                Some(task) => match task.status {
                    Status::Stopped(found) if found == code => return Ok(()),
                    Status::Stopped(found) => {
                        return Err(format!("{exec_id} ended with {found}, not {code}"));
                    }
                    _ if start.elapsed() > shell::SETTLE_TIMEOUT => {
                        return Err(format!("{exec_id} is {:?} for ever", task.status));
                    }
                    _ => thread::sleep(Duration::from_millis(20)),
                },
                None => return Err(format!("{exec_id} has gone")),
            }
        }
    }

    fn remove(&self, record: &Record) -> Step {
        step("delete", self.tasks().delete(&record.id, ""))?;
        step("delete of the container", self.tasks().delete_container(&record.id))
    }

    fn wait_for_answer(&self, id: &str, url: &str) -> Step {
        let start = Instant::now();
        loop {
            if http::get_within(url, Duration::from_secs(10)).is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            let task = self.tasks().get(id, "").map_err(|error| format!("get: {error}"))?;
            match task.map(|task| task.status) {
                Some(Status::Running) => {}
                other => return Err(format!("no answer: it is {other:?}")),
            }
            if start.elapsed() > START {
                return Err(format!("no answer within {START:?}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A site that listens on a port.
pub fn site(containerd: &Containerd, port: u16) -> Run<'_> {
    match under_test::is_ours() {
        true => containerd.site_to_compile().env("SSR_LISTEN", &format!("127.0.0.1:{port}")),
        false => containerd.linux(["sh", "-c", HTTPD]).env("PORT", &port.to_string()),
    }
}

/// A page that takes a while, where the runtime under test has one.
pub fn page() -> &'static str {
    match under_test::is_ours() {
        true => "/slow?ms=40",
        false => "/etc/passwd",
    }
}

fn health() -> [&'static str; 2] {
    match under_test::is_ours() {
        true => ["ssr", "health"],
        false => ["wget", "--help"],
    }
}

fn create(run: Run<'_>, id: &str) -> Step {
    let output = run.try_create(id);
    match output.code {
        0 => Ok(()),
        _ => Err(format!("creation of the container: {}", output.stderr.trim_end())),
    }
}

fn answer(url: &str) -> Step {
    match http::get_within(url, shell::SETTLE_TIMEOUT) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("request: {}", answer.status)),
        Err(error) => Err(format!("request: {error}")),
    }
}

fn step<T>(what: &str, result: Result<T, CallError>) -> Step {
    result.map(drop).map_err(|error| format!("{what}: {error}"))
}

/// Asks for a page again and again until `stop`. Returns how many were answered, and what
/// went wrong with the others.
pub fn ask(url: &str, stop: &AtomicBool) -> (u64, Vec<String>) {
    let (mut answered, mut lost) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        match answer(url) {
            Ok(()) => answered += 1,
            Err(error) => lost.push(error),
        }
        thread::sleep(Duration::from_millis(10));
    }
    (answered, lost)
}
