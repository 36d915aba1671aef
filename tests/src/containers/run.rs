//! How a container is started: what `ctr run` and `ctr container create` are given.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::container::{Container, Exited, unique_id};
use crate::engines::Containerd;
use crate::images::Image;
use crate::shell::{self, Output};
use crate::{http, under_test};

impl Containerd {
    /// A container of an image, which is imported if need be.
    pub fn container(&self, image: &Image) -> Run<'_> {
        self.ensure_imported(image);
        Run::new(self, image)
    }

    /// A container of the tests' site.
    pub fn site(&self) -> Run<'_> {
        Run::new(self, self.site_image())
    }

    /// The same of a module that has to be compiled.
    pub fn site_to_compile(&self) -> Run<'_> {
        Run::new(self, self.site_image_to_compile())
    }

    /// A container of the tests' Linux image that runs a command.
    pub fn linux<'s>(&self, args: impl IntoIterator<Item = &'s str>) -> Run<'_> {
        Run::new(self, self.linux_image()).args(args)
    }
}

/// A container to be started.
pub struct Run<'a> {
    containerd: &'a Containerd,
    image: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    options: Vec<String>,
    network: &'static [&'static str],
}

impl<'a> Run<'a> {
    fn new(containerd: &'a Containerd, image: &Image) -> Self {
        let image = image.name().to_owned();
        Self {
            containerd,
            image,
            env: Vec::new(),
            args: Vec::new(),
            options: Vec::new(),
            network: &["--net-host"],
        }
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

    /// Gives it a network namespace of its own, where nothing is up.
    pub fn own_network(mut self) -> Self {
        self.network = &[];
        self
    }

    fn command(&self, verb: &[&str], id: &str, options: &[&str]) -> Command {
        let mut command = self.containerd.ctr(verb.iter().copied());
        command
            .args(["--runtime", &under_test::runtime()])
            .args(self.network)
            .args(options)
            .args(&self.options);
        for (name, value) in &self.env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        // What follows is not for ctr, even if it looks like an option.
        command.arg("--").arg(&self.image).arg(id).args(&self.args);
        command
    }

    /// `ctr run` to completion, for containers that exit by themselves.
    pub fn run(self) -> Exited {
        self.run_with_input("")
    }

    /// `ctr run` to completion, with `input` on standard input, which is then closed.
    pub fn run_with_input(self, input: &str) -> Exited {
        let container = Container::new(self.containerd, unique_id());
        let mut command = self.command(&["run"], container.id(), &["--rm"]);
        exited(match input {
            "" => shell::run(&mut command),
            // `ctr` does not notice the end of an input that is closed before the start.
            _ => shell::run_with_input(&mut command, input, || {
                container.listed().is_some_and(|(_, status)| status == "RUNNING")
            }),
        })
    }

    /// `ctr run -t` to completion, on a terminal of 40 rows and 100 columns.
    pub fn run_on_terminal(self) -> Exited {
        let container = Container::new(self.containerd, unique_id());
        let command = self.command(&["run"], container.id(), &["--rm", "-t"]);
        exited(shell::run(&mut shell::on_terminal(&command, 40, 100)))
    }

    /// `ctr run` in the background, its output in a file. Does not wait until the site
    /// answers.
    pub fn spawn(self) -> Container<'a> {
        let port = http::free_port();
        let run = self.env("SSR_LISTEN", &format!("127.0.0.1:{port}"));
        let id = unique_id();
        let path = run.containerd.dir().join(format!("{id}.log"));
        let log = fs::File::create(&path).expect("a log file");
        let ctr = run
            .command(&["run"], &id, &["--rm"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("ctr");
        let mut container = Container::new(run.containerd, id);
        (container.port, container.log, container.ctr) = (port, path, Some(ctr));
        container
    }

    /// `ctr run` in the background. Waits until the site answers.
    pub fn start(self) -> Container<'a> {
        let mut container = self.spawn();
        container.wait_for_answer();
        container
    }

    /// `ctr run --detach --log-uri`: no client stays with the container, whose output
    /// the shim writes to a file.
    pub fn detach(self) -> Container<'a> {
        let path = self.containerd.dir().join(format!("{}.log", unique_id()));
        self.detach_to(path)
    }

    /// `ctr run --detach`, with the output in the given file.
    pub fn detach_to(self, log: PathBuf) -> Container<'a> {
        let (container, output) = self.try_detach_to(log, shell::HANG_TIMEOUT);
        assert_eq!(output.code, 0, "{}{}{}", output.stdout, output.stderr, container.log());
        container
    }

    /// The same, which may fail within a limit. What `ctr` has said comes with the container.
    pub fn try_detach_to(self, log: PathBuf, limit: Duration) -> (Container<'a>, Output) {
        let port = http::free_port();
        let run = self.env("SSR_LISTEN", &format!("127.0.0.1:{port}"));
        let uri = format!("file://{}", log.display());
        // Made first, so that a start that fails is cleaned up when it is dropped.
        let mut container = Container::new(run.containerd, unique_id());
        (container.port, container.log) = (port, log);
        let mut command = run.command(&["run"], container.id(), &["--detach", "--log-uri", &uri]);
        let output = shell::run_within(&mut command, limit);
        (container, output)
    }

    /// `ctr container create` of a container with this id, which may fail.
    pub fn try_create(self, id: &str) -> Output {
        shell::run(&mut self.command(&["container", "create"], id, &[]))
    }

    /// `ctr container create`: a container without a task.
    pub fn create(self) -> Container<'a> {
        let port = http::free_port();
        let run = self.env("SSR_LISTEN", &format!("127.0.0.1:{port}"));
        let mut container = Container::new(run.containerd, unique_id());
        container.port = port;
        shell::run(&mut run.command(&["container", "create"], container.id(), &[])).success();
        container
    }
}

fn exited(output: Output) -> Exited {
    Exited { code: output.code, log: output.stdout + &output.stderr }
}
