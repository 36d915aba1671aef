//! A container, from its creation to its removal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use containerd_shim::api::{CreateTaskRequest, ExecProcessRequest, Status};
use parking_lot::Mutex;

use super::process::{PreparedIo, Process, ProcessState};
use crate::cgroup::Cgroup;
use crate::cgroup::oom::OomKills;
use crate::compile::provider;
use crate::helper::command::{HelperCommand, ModuleFile, NO_ENTRYPOINT, RootMount};
use crate::helper::spawn;
use crate::io::stdio::StdioUris;
use crate::io::terminal::ConsoleSocket;
use crate::oci::options::RuntimeOptions;
use crate::oci::spec::{self, PidNamespace};
use crate::oci::wasm_layer::Images;
use crate::reaper::Reaper;
use crate::signals;

/// How long exec processes may take to end after init has been killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A container.
pub struct Container {
    pub id: String,
    pub bundle: PathBuf,
    pub init: Arc<Process>,
    pub cgroup: Cgroup,
    /// `None` if there is no memory cgroup.
    pub oom_kills: Option<OomKills>,
    namespace: String,
    execs: Mutex<HashMap<String, Arc<ExecProcess>>>,
    paused: AtomicBool,
    pid_namespace: PidNamespace,
    /// Held while the container is removed.
    pub removal: tokio::sync::Mutex<()>,
}

/// A process that exec adds.
pub struct ExecProcess {
    pub process: Arc<Process>,
    /// The OCI runtime specification's "process", as JSON.
    spec: Vec<u8>,
}

impl Container {
    /// Makes the container. Its init waits to be started.
    pub async fn create(request: &CreateTaskRequest, images: &Images, reaper: &Reaper) -> Result<Self> {
        let bundle = PathBuf::from(&request.bundle);
        let options = RuntimeOptions::read(request.options.as_ref())?;
        let spec = spec::load(&bundle)?;
        let cgroup = Cgroup::of_spec(&spec, &request.id, options.systemd_cgroup);
        let init = Process::new(StdioUris {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        });
        let mut io = prepare(&init.stdio, &bundle, &request.id, &images.namespace)?;
        let mounts = request.rootfs.iter().map(|mount| RootMount {
            kind: mount.type_.clone(),
            source: mount.source.clone(),
            options: mount.options.clone(),
        });
        let mounts: Vec<_> = mounts.collect();
        let stdio = io.for_helper();
        let create = |module| HelperCommand::Create {
            bundle: bundle.clone(),
            id: request.id.clone(),
            mounts: mounts.clone(),
            systemd: options.systemd_cgroup,
            stdio: stdio.clone(),
            module,
        };
        let made = async {
            match make(&create(ModuleFile::Expected), &bundle, reaper).await? {
                NO_ENTRYPOINT => {
                    let module = find_module(&request.id, &bundle, images).await?;
                    make(&create(module), &bundle, reaper).await
                }
                pid => Ok(pid),
            }
        };
        let pid = match made.await {
            Ok(pid) => pid,
            Err(error) => {
                // A helper that was killed has left things behind.
                let delete = HelperCommand::Delete { bundle: bundle.clone(), id: request.id.clone() };
                if let Err(error) = spawn::run(&delete, reaper).await {
                    log::warn!("container {}: {error:#}", request.id);
                }
                return Err(error);
            }
        };
        let container = Self {
            id: request.id.clone(),
            bundle,
            init: Arc::new(init),
            cgroup,
            oom_kills: OomKills::of_process(pid),
            namespace: images.namespace.clone(),
            execs: Mutex::default(),
            paused: AtomicBool::new(false),
            pid_namespace: PidNamespace::of(&spec),
            removal: tokio::sync::Mutex::default(),
        };
        container.init.set_state(ProcessState::Created { pid });
        if let Err(error) = container.init.attach(io) {
            container.remove(reaper).await?;
            return Err(error);
        }
        Ok(container)
    }

    /// Lets init execute its program.
    pub async fn start(&self, reaper: &Reaper) -> Result<i32> {
        let ProcessState::Created { pid } = self.init.state() else {
            return Err(anyhow!("the container has been started before"));
        };
        let start = HelperCommand::Start { bundle: self.bundle.clone(), id: self.id.clone() };
        spawn::run(&start, reaper).await?;
        self.init.set_state(ProcessState::Running { pid });
        Ok(pid)
    }

    /// Adds a process to be started later. `false` if there is one of that name.
    pub fn add_exec(&self, request: &ExecProcessRequest) -> bool {
        let process = Process::new(StdioUris {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        });
        let exec = ExecProcess { process: Arc::new(process), spec: request.spec.value.clone() };
        let mut execs = self.execs.lock();
        if execs.contains_key(&request.exec_id) {
            return false;
        }
        execs.insert(request.exec_id.clone(), Arc::new(exec));
        true
    }

    /// Starts a process that was added.
    pub async fn start_exec(&self, exec_id: &str, exec: &ExecProcess, reaper: &Reaper) -> Result<i32> {
        let process = &exec.process;
        if !matches!(process.state(), ProcessState::Added) {
            return Err(anyhow!("the process has been started before"));
        }
        let file = self.bundle.join(format!("{exec_id}-process.json"));
        std::fs::write(&file, &exec.spec).with_context(|| format!("cannot write '{}'", file.display()))?;
        let started = async {
            let mut io = prepare(&process.stdio, &self.bundle, exec_id, &self.namespace)?;
            let command = HelperCommand::Exec {
                bundle: self.bundle.clone(),
                id: self.id.clone(),
                process: file.clone(),
                stdio: io.for_helper(),
            };
            let pid = make(&command, &self.bundle, reaper).await?;
            process.set_state(ProcessState::Running { pid });
            if let Err(error) = process.attach(io) {
                log::warn!("container {}: process {exec_id} has no stdio: {error:#}", self.id);
            }
            Ok(pid)
        };
        let started = started.await;
        let _ = std::fs::remove_file(&file);
        started
    }

    /// Init if `exec_id` is empty, otherwise the exec of that name.
    pub fn process(&self, exec_id: &str) -> Option<Arc<Process>> {
        match exec_id {
            "" => Some(Arc::clone(&self.init)),
            _ => self.exec(exec_id).map(|exec| Arc::clone(&exec.process)),
        }
    }

    pub fn exec(&self, exec_id: &str) -> Option<Arc<ExecProcess>> {
        self.execs.lock().get(exec_id).cloned()
    }

    pub fn remove_exec(&self, exec_id: &str) {
        self.execs.lock().remove(exec_id);
    }

    /// The names and pids of its exec processes.
    pub fn exec_pids(&self) -> Vec<(String, i32)> {
        let execs = self.execs.lock();
        execs.iter().map(|(name, exec)| (name.clone(), exec.process.state().pid())).collect()
    }

    /// Kills the remaining processes after init exits, before its exit event is published.
    pub async fn kill_remaining(&self) {
        // The kernel does so where the PID namespace is the container's own.
        if self.pid_namespace != PidNamespace::Own {
            let _ = self.cgroup.signal(libc::SIGKILL);
        }
        let processes: Vec<_> = self.execs.lock().values().map(|exec| Arc::clone(&exec.process)).collect();
        let running =
            processes.iter().filter(|process| matches!(process.state(), ProcessState::Running { .. }));
        let ended = async {
            for process in running {
                process.wait().await;
            }
        };
        if tokio::time::timeout(KILL_TIMEOUT, ended).await.is_err() {
            log::warn!("container {}: exec processes survive its init", self.id);
        }
    }

    /// Freezes or thaws all its processes.
    pub fn pause(&self, paused: bool) -> Result<()> {
        self.cgroup.freeze(paused)?;
        self.paused.store(paused, Ordering::SeqCst);
        Ok(())
    }

    /// The status of one of its processes.
    pub fn status(&self, state: &ProcessState) -> Status {
        match state.status() {
            Status::RUNNING if self.paused.load(Ordering::SeqCst) => Status::PAUSED,
            status => status,
        }
    }

    /// Sends a signal to one of its processes. `false` if that has ended.
    pub fn kill(&self, process: &Process, signal: u32) -> Result<bool> {
        let signal = i32::try_from(signal)?;
        let (pid, signal) = match process.state() {
            // The first process of a PID namespace ignores signals that it has no handler
            // for, and it cannot have one yet.
            ProcessState::Created { pid }
                if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) =>
            {
                (pid, libc::SIGKILL)
            }
            ProcessState::Created { pid } | ProcessState::Running { pid } => (pid, signal),
            ProcessState::Added | ProcessState::Stopped { .. } => return Ok(false),
        };
        let sent = signals::send(pid, signal)?;
        self.thaw_if_killed(signal);
        Ok(sent)
    }

    /// Sends a signal to all its processes. `false` if they have ended.
    pub fn kill_all(&self, signal: u32) -> Result<bool> {
        if self.init.state().exit().is_some() {
            return Ok(false);
        }
        let signal = i32::try_from(signal)?;
        self.cgroup.signal(signal)?;
        self.thaw_if_killed(signal);
        Ok(true)
    }

    /// On cgroup v1 a frozen process does not die before it is thawed.
    fn thaw_if_killed(&self, signal: i32) {
        if signal == libc::SIGKILL && self.paused.load(Ordering::SeqCst) {
            let _ = self.pause(false);
        }
    }

    /// Removes what the kernel has of it. An init that was never started is killed first.
    pub async fn remove(&self, reaper: &Reaper) -> Result<()> {
        if let ProcessState::Created { pid } = self.init.state() {
            let _ = signals::send(pid, libc::SIGKILL);
        }
        let delete = HelperCommand::Delete { bundle: self.bundle.clone(), id: self.id.clone() };
        spawn::run(&delete, reaper).await?;
        self.init.detach().await;
        Ok(())
    }
}

/// Runs a command that makes a process, which may ask for its module's code.
async fn make(command: &HelperCommand, bundle: &Path, reaper: &Reaper) -> Result<i32> {
    let (socket, of_process) = provider::sockets()?;
    provider::serve(socket, bundle, reaper);
    spawn::run_with_socket(command, Some(of_process), reaper).await
}

/// Where the module is that the image's root does not have.
async fn find_module(id: &str, bundle: &Path, images: &Images) -> Result<ModuleFile> {
    let found = async { images.module(id, &provider::containerd_root(bundle)?).await };
    let layer = found
        .await
        .context("the image has neither a file of the entrypoint's name nor a module as a layer")?;
    Ok(layer.map_or(ModuleFile::InRoot, ModuleFile::Layer))
}

fn prepare(stdio: &StdioUris, bundle: &Path, name: &str, namespace: &str) -> Result<PreparedIo> {
    Ok(match stdio.terminal {
        true => PreparedIo::Terminal(ConsoleSocket::bind(bundle, &format!("{name}.sock"))?),
        false => PreparedIo::Files(stdio.prepare(name, namespace)?),
    })
}

#[cfg(test)]
impl Container {
    /// A container whose init is in this state, and of which the kernel has nothing else.
    pub fn in_state(id: &str, state: ProcessState) -> Self {
        let init = Process::new(StdioUris::default());
        init.set_state(state);
        Self {
            id: id.to_owned(),
            bundle: PathBuf::from("/nonexistent"),
            init: Arc::new(init),
            cgroup: Cgroup::of_spec(&libcontainer::oci_spec::runtime::Spec::default(), id, false),
            oom_kills: None,
            namespace: "test".to_owned(),
            execs: Mutex::default(),
            paused: AtomicBool::new(false),
            pid_namespace: PidNamespace::Own,
            removal: tokio::sync::Mutex::default(),
        }
    }
}
