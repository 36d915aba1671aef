//! A container under the shim, from start to end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::{self, Answer};
use crate::lab::Lab;
use crate::shell::{self, Output};

/// The runtime under test. Another one shows what it does with the same tests.
pub(crate) fn runtime() -> String {
    std::env::var("SSR_TEST_RUNTIME").unwrap_or_else(|_| "io.containerd.ssr.v1".to_owned())
}

/// What a container is started with.
pub struct Run<'a> {
    lab: &'a Lab,
    image: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    options: Vec<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(lab: &'a Lab, image: &str) -> Self {
        Self { lab, image: image.to_owned(), env: Vec::new(), args: Vec::new(), options: Vec::new() }
    }

    /// Sets a variable of the container's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the image's entrypoint and command.
    pub fn args<'s>(mut self, args: impl IntoIterator<Item = &'s str>) -> Self {
        self.args = args.into_iter().map(str::to_owned).collect();
        self
    }

    /// Adds an option of `ctr run`.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    fn command(&self, verb: &[&str], id: &str, options: &[&str]) -> Command {
        let mut command = self.lab.ctr(verb.iter().copied());
        command.args(["--runtime", &runtime(), "--net-host"]).args(options).args(&self.options);
        for (name, value) in &self.env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(&self.image).arg(id).args(&self.args);
        command
    }

    /// `ctr run` to its end: for containers that stop by themselves.
    pub fn to_end(self) -> Ended {
        self.to_end_with_input("")
    }

    /// `ctr run` to its end, with a text to read that ends.
    pub fn to_end_with_input(self, input: &str) -> Ended {
        let id = id();
        let container = Container { lab: self.lab, id, port: 0, log: PathBuf::new(), ctr: None };
        let mut command = self.command(&["run"], &container.id, &["--rm"]);
        let output = match input {
            "" => shell::run(&mut command),
            // `ctr` loses the input's end where it comes before the start.
            _ => shell::run_with_input(&mut command, input, || {
                container.listed().is_some_and(|(_, status)| status == "RUNNING")
            }),
        };
        Ended { code: output.code, log: output.stdout + &output.stderr }
    }

    /// `ctr run -t` to its end, on a terminal of 40 rows and 100 columns.
    pub fn to_end_on_terminal(self) -> Ended {
        let id = id();
        let command = self.command(&["run"], &id, &["--rm", "-t"]);
        let output = shell::run(&mut shell::on_terminal(&command, 40, 100));
        self.lab.forget(&id);
        Ended { code: output.code, log: output.stdout + &output.stderr }
    }

    /// `ctr run` in the background, its output in a file, without waiting for an
    /// answer.
    pub fn spawn(self) -> Container<'a> {
        let port = http::free_port();
        let run = self.env("SSR_LISTEN", &format!("127.0.0.1:{port}"));
        let id = id();
        let path = run.lab.dir().join(format!("{id}.log"));
        let log = fs::File::create(&path).expect("a log file");
        let ctr = run
            .command(&["run"], &id, &["--rm"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("ctr");
        Container { lab: run.lab, id, port, log: path, ctr: Some(ctr) }
    }

    /// `ctr run` in the background, then waits until the site answers.
    pub fn start(self) -> Container<'a> {
        let mut container = self.spawn();
        container.wait_for_answer();
        container
    }

    /// `ctr run --detach --log-uri`: no client belongs to the container, which
    /// writes its output into a file itself.
    pub fn detach(self) -> Container<'a> {
        let path = self.lab.dir().join(format!("{}.log", id()));
        self.detach_to(path)
    }

    /// `ctr run --detach`, the output into a certain file.
    pub fn detach_to(self, log: PathBuf) -> Container<'a> {
        let port = http::free_port();
        let run = self.env("SSR_LISTEN", &format!("127.0.0.1:{port}"));
        let id = id();
        let uri = format!("file://{}", log.display());
        // Made first: when the start fails, it is dropped, and with it what is left.
        let container = Container { lab: run.lab, id, port, log, ctr: None };
        let said = shell::run(&mut run.command(&["run"], &container.id, &["--detach", "--log-uri", &uri]));
        assert_eq!(said.code, 0, "{}{}{}", said.stdout, said.stderr, container.log());
        container
    }

    /// `ctr container create`: a container without a task.
    pub fn create(self) -> Container<'a> {
        let id = id();
        shell::run(&mut self.command(&["container", "create"], &id, &[])).success();
        Container { lab: self.lab, id, port: 0, log: PathBuf::new(), ctr: None }
    }
}

fn id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A container; removed, whatever it does, where the value ends.
pub struct Container<'a> {
    lab: &'a Lab,
    id: String,
    port: u16,
    log: PathBuf,
    ctr: Option<Child>,
}

/// A container that has stopped.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout and stderr.
    pub log: String,
}

impl Container<'_> {
    /// The containerd that it runs under.
    pub fn lab(&self) -> &Lab {
        self.lab
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The `ctr run` that reads the container's output.
    pub fn client(&self) -> u32 {
        self.ctr.as_ref().expect("a container that is not detached").id()
    }

    /// GET a path of the site.
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.url(path))
    }

    /// The address of a path of the site.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until the site listens.
    pub fn wait_for_answer(&mut self) {
        let ready = shell::poll(|| {
            let ended = self.ctr.as_mut().is_some_and(|ctr| ctr.try_wait().expect("a child").is_some());
            assert!(!ended, "the container stopped: {}", self.log());
            http::is_open(self.port).then_some(())
        });
        assert!(ready.is_some(), "no answer: {}", self.log());
    }

    /// What the container wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log holds a text.
    pub fn wait_for_log(&self, text: &str) {
        let found = shell::poll(|| self.log().contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in the log: {}", self.log());
    }

    /// `ctr task VERB ID`, which may fail.
    pub fn task(&self, verb: &[&str]) -> Output {
        shell::run(self.lab.ctr(["task"]).args(verb).arg(&self.id))
    }

    /// `ctr task exec` to its end.
    pub fn exec(&self, args: &[&str]) -> Output {
        self.exec_with_input(args, "")
    }

    /// `ctr task exec` to its end, with a text to read that ends.
    pub fn exec_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut ctr = self.lab.ctr(["task", "exec", "--exec-id", &id()]);
        let processes = || self.task(&["ps"]).success().stdout.lines().count() - 1;
        let before = processes();
        match input {
            "" => shell::run(ctr.arg(&self.id).args(args)),
            _ => shell::run_with_input(ctr.arg(&self.id).args(args), input, || processes() > before),
        }
    }

    /// Sends a signal.
    pub fn kill(&self, signal: &str) {
        self.task(&["kill", "-s", signal]).success();
    }

    /// Its row of `ctr task ls`: the process's id and the status.
    pub fn listed(&self) -> Option<(u32, String)> {
        let list = shell::run(&mut self.lab.ctr(["task", "ls"])).success();
        let fields = list.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut rows = fields.filter(|fields| fields.first() == Some(&&*self.id));
        rows.next().map(|fields| (fields[1].parse().expect("a process id"), fields[2].to_owned()))
    }

    /// Waits until `ctr task ls` shows a status.
    pub fn wait_for_status(&self, status: &str) {
        let found = shell::poll(|| self.listed().filter(|(_, now)| now == status));
        assert!(found.is_some(), "not {status}, but {:?}", self.listed());
    }

    /// Waits for the container to stop by itself, and deletes its task.
    pub fn wait(mut self) -> Ended {
        let code = match self.ctr.take() {
            Some(mut ctr) => shell::end(&mut ctr),
            None => {
                self.wait_for_status("STOPPED");
                exit_code(&self.task(&["delete"]).success().stderr)
            }
        };
        Ended { code, log: self.log() }
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(self) -> Ended {
        self.kill("SIGTERM");
        self.wait()
    }

    /// The memory of the container's process, in KiB: its own pages and its
    /// share of those it has in common with others.
    pub fn pss(&self) -> u64 {
        let text = self.proc("smaps_rollup");
        text.lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("no Pss in {text}"))
    }

    /// A file in the directory of the container's process in /proc.
    pub fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid());
        shell::run(&mut self.lab.inside(["cat", &path])).success().stdout
    }

    /// Its process's id, as containerd knows it.
    pub fn pid(&self) -> u32 {
        self.listed().unwrap_or_else(|| panic!("{} has no task", self.id)).0
    }
}

/// The exit code in what `ctr task delete` warns of.
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
        self.lab.forget(&self.id);
    }
}

impl Lab {
    /// Removes a container, whatever there is of it.
    fn forget(&self, id: &str) {
        let there = |list: &[&str]| {
            let list = shell::run(&mut self.ctr(list.iter().copied()));
            list.stdout.lines().any(|line| line == id)
        };
        if there(&["task", "ls", "-q"]) {
            shell::run(&mut self.ctr(["task", "delete", "--force", id]));
        }
        if there(&["container", "ls", "-q"]) {
            shell::run(&mut self.ctr(["container", "delete", id]));
        }
    }
}
