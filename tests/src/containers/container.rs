//! A container under the shim, from its start to its removal.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::engines::Containerd;
use crate::http::{self, Answer};
use crate::shell::{self, Output};

/// A container. It is removed when the value is dropped, whatever its state.
pub struct Container<'a> {
    containerd: &'a Containerd,
    id: String,
    pub(super) port: u16,
    /// The file of its output, if there is one.
    pub(super) log: PathBuf,
    /// The client of a container that is not detached.
    pub(super) ctr: Option<Child>,
}

/// A container that has exited.
#[derive(Debug)]
pub struct Exited {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout and stderr.
    pub log: String,
}

/// An id that no other container or process of the tests has.
pub(super) fn unique_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl<'a> Container<'a> {
    /// A container that need not exist yet.
    pub(super) fn new(containerd: &'a Containerd, id: String) -> Self {
        Self { containerd, id, port: 0, log: PathBuf::new(), ctr: None }
    }

    /// The containerd that it runs under.
    pub fn containerd(&self) -> &Containerd {
        self.containerd
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The process id of the `ctr run` that reads the container's output.
    pub fn client_pid(&self) -> u32 {
        self.ctr.as_ref().expect("a container that is not detached").id()
    }

    /// GET a path of the site.
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.url(path))
    }

    /// The URL of a path of the site.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until the site listens.
    pub fn wait_for_answer(&mut self) {
        let ready = shell::poll_for(shell::COMPILE_TIMEOUT, || {
            let exited = self.ctr.as_mut().is_some_and(|ctr| ctr.try_wait().expect("a child").is_some());
            assert!(!exited, "the container exited: {}", self.log());
            http::is_open(self.port).then_some(())
        });
        assert!(ready.is_some(), "no answer: {}", self.log());
    }

    /// What the container has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&self, text: &str) {
        let found = shell::poll(|| self.log().contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in the log: {}", self.log());
    }

    /// `ctr task VERB ID`, which may fail.
    pub fn task(&self, verb: &[&str]) -> Output {
        shell::run(self.containerd.ctr(["task"]).args(verb).arg(&self.id))
    }

    /// `ctr task exec` to completion.
    pub fn exec(&self, args: &[&str]) -> Output {
        self.exec_with_input(args, "")
    }

    /// `ctr task exec` to completion, with `input` on standard input, which is then
    /// closed.
    pub fn exec_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut ctr = self.containerd.ctr(["task", "exec", "--exec-id", &unique_id()]);
        let before = self.process_count();
        match input {
            "" => shell::run(ctr.arg(&self.id).args(args)),
            _ => shell::run_with_input(ctr.arg(&self.id).args(args), input, || self.process_count() > before),
        }
    }

    /// How many processes `ctr task ps` lists.
    pub fn process_count(&self) -> usize {
        // The first line is the heading.
        self.task(&["ps"]).success().stdout.lines().count() - 1
    }

    /// Sends a signal.
    pub fn kill(&self, signal: &str) {
        self.task(&["kill", "-s", signal]).success();
    }

    /// Its row of `ctr task ls`: the process id and the status.
    pub fn listed(&self) -> Option<(u32, String)> {
        let list = shell::run(&mut self.containerd.ctr(["task", "ls"])).success();
        let fields = list.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut rows = fields.filter(|fields| fields.first() == Some(&&*self.id));
        rows.next().map(|fields| (fields[1].parse().expect("a process id"), fields[2].to_owned()))
    }

    /// Waits until `ctr task ls` shows a status.
    pub fn wait_for_status(&self, status: &str) {
        let found = shell::poll(|| self.listed().filter(|(_, now)| now == status));
        assert!(found.is_some(), "not {status}, but {:?}", self.listed());
    }

    /// Waits until `ctr task ls` shows the container as stopped, or not at all.
    pub fn wait_for_exit(&self) {
        let exited = || self.listed().is_none_or(|(_, status)| status == "STOPPED").then_some(());
        assert!(shell::poll(exited).is_some(), "still there: {:?}", self.listed());
    }

    /// Waits for the container to exit by itself, and deletes its task.
    pub fn wait(mut self) -> Exited {
        let code = match self.ctr.take() {
            Some(mut ctr) => shell::wait(&mut ctr),
            None => {
                self.wait_for_status("STOPPED");
                exit_code(&self.task(&["delete"]).success().stderr)
            }
        };
        Exited { code, log: self.log() }
    }

    /// Sends SIGTERM and waits for the container to exit.
    pub fn stop(self) -> Exited {
        self.kill("SIGTERM");
        self.wait()
    }

    /// The proportional set size of the container's process, in KiB: its own pages, and
    /// its share of those that other processes have mapped too.
    pub fn pss(&self) -> u64 {
        let text = self.proc("smaps_rollup");
        text.lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("no Pss in {text}"))
    }

    /// A file of the container's process in /proc.
    pub fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid());
        shell::run(&mut self.containerd.inside(["cat", &path])).success().stdout
    }

    /// Its process id, as containerd knows it.
    pub fn pid(&self) -> u32 {
        self.listed().unwrap_or_else(|| panic!("{} has no task", self.id)).0
    }
}

/// The exit code in the warning that `ctr task delete` prints; 0 if there is none.
fn exit_code(warning: &str) -> i32 {
    let (_, rest) = warning.split_once("exit with non-zero exit code ").unwrap_or(("", "0"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no exit code in: {warning}"))
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Some(mut ctr) = self.ctr.take() {
            // It would wait for the container and remove it.
            let _ = ctr.kill();
            let _ = ctr.wait();
        }
        let exists = |list: &[&str]| {
            let list = shell::run(&mut self.containerd.ctr(list.iter().copied()));
            list.stdout.lines().any(|line| line == self.id)
        };
        if exists(&["task", "ls", "-q"]) {
            shell::run(&mut self.containerd.ctr(["task", "delete", "--force", &self.id]));
        }
        if exists(&["container", "ls", "-q"]) {
            shell::run(&mut self.containerd.ctr(["container", "delete", &self.id]));
        }
    }
}
