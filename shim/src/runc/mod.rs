//! Linux containers: a pod's sidecars, init and ephemeral containers, and whatever else has
//! a Linux program as its entrypoint. The node's own OCI runtime makes and changes them:
//! `runc`, or `crun`, or what the option `BinaryName` names.

mod launcher;
mod log;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::runc::Runc as Client;
use ::runc::options::{CreateOpts, DeleteOpts, ExecOpts, GlobalOpts, KillOpts};
use anyhow::{Context, Result, anyhow, bail};
use libcontainer::oci_spec::runtime::{LinuxResources, Process};

use crate::helper::command::ProcessStdio;
use crate::helper::spawn::TIMEOUT;
use crate::reaper::Reaper;
use launcher::{Launcher, StdioOfProcess};

/// The directory in a bundle for everything of the runtime's. It exists if the runtime has
/// made the container, or has tried to.
const DIRECTORY: &str = "runc";

/// The runtime's log file; what it says about a failure is read from there.
const LOG: &str = "log.json";

/// How long the runtime may take to remove a container whose processes are killed. What it
/// leaves then, the helper removes.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(30);

/// The runtimes that are looked for in PATH where none is named.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// How the runtime is called. Each is an option of containerd's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuncOptions {
    /// The runtime's file, or its name in PATH.
    pub binary: Option<PathBuf>,
    /// Where the runtime keeps its state; a directory in the bundle if absent.
    pub root: Option<PathBuf>,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
    pub no_pivot_root: bool,
    pub no_new_keyring: bool,
}

/// The runtime, for one container.
pub struct Runc {
    client: Client,
    bundle: PathBuf,
    /// See [`DIRECTORY`].
    directory: PathBuf,
    id: String,
    options: RuncOptions,
}

impl Runc {
    /// For a container that is to be made.
    ///
    /// # Errors
    /// If the node has no such runtime.
    pub fn new(bundle: &Path, id: &str, options: &RuncOptions, reaper: &Reaper) -> Result<Self> {
        Self::with_timeout(bundle, id, options, reaper, TIMEOUT)
    }

    /// To remove the container of a bundle, if the runtime has made it or has tried to.
    pub fn to_remove(
        bundle: &Path,
        id: &str,
        options: &RuncOptions,
        reaper: &Reaper,
    ) -> Result<Option<Self>> {
        match bundle.join(DIRECTORY).exists() {
            true => Self::with_timeout(bundle, id, options, reaper, REMOVE_TIMEOUT).map(Some),
            false => Ok(None),
        }
    }

    fn with_timeout(
        bundle: &Path,
        id: &str,
        options: &RuncOptions,
        reaper: &Reaper,
        timeout: Duration,
    ) -> Result<Self> {
        let binary = runtime(options.binary.as_deref()).with_context(|| match &options.binary {
            Some(named) => format!(
                "the container runs a Linux program, and the runtime '{}' that the option BinaryName names for those \
                 does not exist",
                named.display()
            ),
            None => "the container runs a Linux program, and this node has neither runc nor crun in containerd's \
                     PATH to run it: install runc, or name another runtime with the option BinaryName. Sites need none"
                .to_owned(),
        })?;
        let directory = bundle.join(DIRECTORY);
        let mut global = GlobalOpts::new()
            .command(binary)
            .root(options.root.clone().unwrap_or_else(|| directory.clone()))
            .log(directory.join(LOG))
            .log_json()
            .systemd_cgroup(options.systemd_cgroup);
        global.custom_spawner(Arc::new(Launcher {
            bundle: bundle.to_owned(),
            reaper: reaper.clone(),
            timeout,
        }));
        let client = global.build().map_err(|error| anyhow!("cannot call the OCI runtime: {error}"))?;
        Ok(Self { client, bundle: bundle.to_owned(), directory, id: id.to_owned(), options: options.clone() })
    }

    /// Makes the container. Its process, whose pid is returned, waits to be started.
    pub async fn create(&self, stdio: ProcessStdio) -> Result<i32> {
        fs::create_dir(&self.directory)
            .with_context(|| format!("cannot create '{}'", self.directory.display()))?;
        let pid_file = self.directory.join("init.pid");
        let mut options = CreateOpts::new()
            .pid_file(&pid_file)
            .no_pivot(self.options.no_pivot_root)
            .no_new_keyring(self.options.no_new_keyring);
        match stdio {
            ProcessStdio::Terminal { socket } => options = options.console_socket(socket),
            ProcessStdio::Files(files) => options = options.io(Arc::new(StdioOfProcess(files))),
        }
        let created = self.client.create(&self.id, &self.bundle, Some(&options)).await;
        self.outcome("create the container", created.map(drop))?;
        read_pid(&pid_file)
    }

    /// Lets the container's process execute its program.
    pub async fn start(&self) -> Result<()> {
        self.outcome("start the container", self.client.start(&self.id).await.map(drop))
    }

    /// Starts another process, which `process` describes (OCI, as JSON), and returns its
    /// pid. `name` is unique among the container's processes.
    pub async fn exec(&self, name: &str, process: &[u8], stdio: ProcessStdio) -> Result<i32> {
        let process: Process = serde_json::from_slice(process).context("the process cannot be parsed")?;
        let pid_file = self.directory.join(format!("{name}.pid"));
        let mut options = ExecOpts::new().pid_file(&pid_file).detach(true);
        match stdio {
            ProcessStdio::Terminal { socket } => options = options.console_socket(socket),
            ProcessStdio::Files(files) => options = options.io(Arc::new(StdioOfProcess(files))),
        }
        let started = self.client.exec(&self.id, &process, Some(&options)).await;
        let pid = self.outcome("execute the process", started).and_then(|()| read_pid(&pid_file));
        let _ = fs::remove_file(&pid_file);
        pid
    }

    /// Sends a signal to the container's first process, or to all. `false` if there is none.
    pub async fn kill(&self, signal: u32, all: bool) -> Result<bool> {
        let options = KillOpts::new().all(all);
        match self.outcome("signal the container", self.client.kill(&self.id, signal, Some(&options)).await) {
            Ok(()) => Ok(true),
            Err(error) if has_ended(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Freezes or thaws the container's processes.
    pub async fn pause(&self, paused: bool) -> Result<()> {
        match paused {
            true => self.outcome("pause the container", self.client.pause(&self.id).await),
            false => self.outcome("resume the container", self.client.resume(&self.id).await),
        }
    }

    /// Sets new limits.
    pub async fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.outcome("set the container's limits", self.client.update(&self.id, resources).await)
    }

    /// Kills the container's processes and removes what the runtime has of it.
    pub async fn delete(&self) -> Result<()> {
        let options = DeleteOpts::new().force(true);
        match self.outcome("remove the container", self.client.delete(&self.id, Some(&options)).await) {
            // It was never made, or is removed already.
            Err(error) if error.to_string().contains("does not exist") => Ok(()),
            result => result,
        }
    }

    /// The error that the runtime has logged for a command that failed.
    fn outcome(&self, what: &str, result: ::runc::Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let reason = log::take_error(&self.directory.join(LOG));
        match (reason, error) {
            (Some(reason), _) => bail!("cannot {what}: {reason}"),
            (None, ::runc::error::Error::CommandFailed { status, stdout, stderr }) => {
                bail!("cannot {what}: the OCI runtime says nothing but {stdout}{stderr}({status})")
            }
            (None, ::runc::error::Error::CommandTimeout(_)) => {
                let systemd = match self.options.systemd_cgroup {
                    true => ". It asks systemd for the container's cgroup: look whether dbus.service answers",
                    false => "",
                };
                bail!("cannot {what}: the OCI runtime timed out and was killed{systemd}")
            }
            (None, error) => Err(anyhow!("cannot {what}: {error}")),
        }
    }
}

/// Whether the runtime refuses a signal because its receiver has ended.
fn has_ended(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    ["not running", "does not exist", "process already finished", "no such process"]
        .iter()
        .any(|reason| text.contains(reason))
}

/// The OCI runtime's file: of the one that is named, by a path or a name in PATH, or else of
/// the first one that this node has.
pub fn runtime(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(named) => ::runc::utils::binary_path(named),
        None => RUNTIMES.iter().find_map(::runc::utils::binary_path),
    }
}

fn read_pid(file: &Path) -> Result<i32> {
    let text =
        fs::read_to_string(file).with_context(|| format!("the OCI runtime wrote no '{}'", file.display()))?;
    text.trim().parse().with_context(|| format!("'{}' holds no pid", file.display()))
}
