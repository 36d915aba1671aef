//! A container under the shim, from start to end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::{self, Answer};
use crate::lab::Lab;
use crate::shell;

/// The runtime under test.
const RUNTIME: &str = "io.containerd.ssr.v1";

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

    fn command(&self, id: &str, options: &[&str]) -> Command {
        let mut command = self.lab.ctr(["run", "--runtime", RUNTIME, "--net-host"]);
        command.args(options).args(&self.options);
        for (name, value) in &self.env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(&self.image).arg(id).args(&self.args);
        command
    }

    /// `ctr run` to its end: for containers that stop by themselves.
    pub fn to_end(self) -> Ended {
        let output = shell::run(&mut self.command(&id(), &["--rm"]));
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
        // `ctr run -d --log-uri` would be simpler, but the stock shim's task
        // service takes no URI and loses the output.
        let ctr = run
            .command(&id, &["--rm"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("ctr");
        Container { lab: run.lab, id, port, log: path, ctr }
    }

    /// `ctr run` in the background, then waits until the site answers.
    pub fn start(self) -> Container<'a> {
        let mut container = self.spawn();
        let ready = shell::poll(|| {
            let ended = container.ctr.try_wait().expect("a child to wait for");
            assert!(ended.is_none(), "the container stopped: {}", container.log());
            http::is_open(container.port).then_some(())
        });
        assert!(ready.is_some(), "no answer: {}", container.log());
        container
    }
}

fn id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("site-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A running container.
pub struct Container<'a> {
    lab: &'a Lab,
    id: String,
    port: u16,
    log: PathBuf,
    ctr: Child,
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
    /// GET a path of the site.
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.url(path))
    }

    /// The address of a path of the site.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
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

    /// Sends a signal.
    pub fn kill(&self, signal: &str) {
        let mut ctr = self.lab.ctr(["task", "kill", "-s", signal, &self.id]);
        shell::run(&mut ctr).success();
    }

    /// Waits for the container to stop by itself.
    pub fn wait(mut self) -> Ended {
        let status = shell::poll(|| self.ctr.try_wait().expect("a child to wait for"));
        let status = status.unwrap_or_else(|| panic!("the container goes on: {}", self.log()));
        Ended { code: shell::code(status), log: self.log() }
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

    fn pid(&self) -> String {
        let list = shell::run(&mut self.lab.ctr(["task", "ls"])).success();
        let mut lines = list.stdout.lines().map(str::split_whitespace);
        let pid =
            lines.find_map(|mut fields| (fields.next() == Some(&self.id)).then(|| fields.next()).flatten());
        pid.unwrap_or_else(|| panic!("{} does not run: {}", self.id, list.stdout)).to_owned()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // A test that has failed leaves its container to the lab; `ctr` itself
        // would wait for it.
        let _ = self.ctr.kill();
        let _ = self.ctr.wait();
    }
}
