//! A container, from its creation to its removal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use containerd_shim::api::{CreateTaskRequest, ExecProcessRequest, Status};
use libcontainer::oci_spec::runtime::LinuxResources;
use parking_lot::Mutex;
use ssr_server::STOP_SIGNALS;

use super::make::{Made, Runtime, make, make_init, remove_from_kernel};
use super::process::{FAILED_TO_START, PreparedIo, Process, ProcessState};
use crate::cgroup::Cgroup;
use crate::cgroup::oom::OomKills;
use crate::helper::command::HelperCommand;
use crate::helper::spawn;
use crate::io::stdio::StdioUris;
use crate::io::terminal::ConsoleSocket;
use crate::oci::limits;
use crate::oci::options::RuntimeOptions;
use crate::oci::spec::{self, PidNamespace};
use crate::oci::wasm_layer::Images;
use crate::reaper::Reaper;

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
    runtime: Runtime,
    namespace: String,
    owner: (u32, u32),
    execs: Mutex<HashMap<String, Arc<ExecProcess>>>,
    paused: AtomicBool,
    /// Held while processes are started, which must not happen in a frozen container, and
    /// while it is paused.
    freezing: tokio::sync::Mutex<()>,
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
        options.save(&bundle)?;
        let spec = spec::load(&bundle)?;
        let cgroup = Cgroup::of_spec(&spec, &request.id, options.systemd_cgroup);
        let owner = (options.io_uid, options.io_gid);
        let init = Process::new(StdioUris {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            owner,
        });
        let mut io = prepare(&init.stdio, &bundle, &request.id, &images.namespace, reaper).await?;
        let (runtime, pid, provider) =
            match make_init(request, &options, images, io.for_helper(), reaper).await {
                Ok(made) => made,
                Err(error) => {
                    // A helper or an OCI runtime that was killed has left things behind.
                    if let Err(error) = remove_from_kernel(&bundle, &request.id, reaper).await {
                        log::warn!("container {}: {error:#}", request.id);
                    }
                    return Err(error);
                }
            };
        let container = Self {
            id: request.id.clone(),
            bundle,
            init: Arc::new(init),
            cgroup: cgroup.of_process(pid),
            oom_kills: OomKills::of_process(pid),
            runtime,
            namespace: images.namespace.clone(),
            owner,
            execs: Mutex::default(),
            paused: AtomicBool::new(false),
            freezing: tokio::sync::Mutex::default(),
            pid_namespace: PidNamespace::of(&spec),
            removal: tokio::sync::Mutex::default(),
        };
        container.init.set_state(ProcessState::Created { pid });
        container.init.keep(provider);
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
        match &self.runtime {
            Runtime::Own => {
                let start = HelperCommand::Start { bundle: self.bundle.clone(), id: self.id.clone() };
                spawn::run(&start, reaper).await?;
            }
            Runtime::Runc(runc) => runc.start().await?,
        }
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
            owner: self.owner,
        });
        let spec = with_terminal(&request.spec.value, request.terminal);
        let exec = ExecProcess { process: Arc::new(process), spec };
        let mut execs = self.execs.lock();
        if execs.contains_key(&request.exec_id) {
            return false;
        }
        execs.insert(request.exec_id.clone(), Arc::new(exec));
        true
    }

    /// Starts a process that was added. If that fails, the process has ended.
    pub async fn start_exec(&self, exec_id: &str, exec: &ExecProcess, reaper: &Reaper) -> Result<i32> {
        let process = &exec.process;
        if !matches!(process.state(), ProcessState::Added) {
            return Err(anyhow!("the process has been started before"));
        }
        let started = self.make_exec(exec_id, exec, reaper).await;
        match started {
            Ok((pid, io)) => {
                process.set_state(ProcessState::Running { pid });
                if let Err(error) = process.attach(io) {
                    log::warn!("container {}: process {exec_id} has no stdio: {error:#}", self.id);
                }
                Ok(pid)
            }
            Err(error) => {
                process.end_unstarted(FAILED_TO_START);
                Err(error)
            }
        }
    }

    async fn make_exec(
        &self,
        exec_id: &str,
        exec: &ExecProcess,
        reaper: &Reaper,
    ) -> Result<(i32, PreparedIo)> {
        let _freezing = self.freezing.lock().await;
        if self.paused.load(Ordering::SeqCst) {
            bail!("container '{}' is paused: resume it before a process is executed in it", self.id);
        }
        let ProcessState::Running { pid: init } = self.init.state() else {
            bail!("container '{}' is not running", self.id);
        };
        let mut io = prepare(&exec.process.stdio, &self.bundle, exec_id, &self.namespace, reaper).await?;
        let stdio = io.for_helper();
        let pid = match &self.runtime {
            Runtime::Runc(runc) => runc.exec(exec_id, &exec.spec, stdio).await?,
            Runtime::Own => {
                let process = String::from_utf8_lossy(&exec.spec).into_owned();
                let command = HelperCommand::Exec { bundle: self.bundle.clone(), init, process, stdio };
                match make(&command, &self.bundle, reaper).await? {
                    Made::Process(pid, provider) => {
                        exec.process.keep(provider);
                        pid
                    }
                    Made::Not(done) => bail!("the helper has made no process: {done:?}"),
                }
            }
        };
        Ok((pid, io))
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
            let killed = match &self.runtime {
                Runtime::Own => self.in_cgroup(|cgroup| cgroup.signal(libc::SIGKILL)).await,
                Runtime::Runc(runc) => runc.kill(libc::SIGKILL.unsigned_abs(), true).await.map(drop),
            };
            if let Err(error) = killed {
                log::warn!("container {}: {error:#}", self.id);
            }
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
    pub async fn pause(&self, paused: bool) -> Result<()> {
        let _freezing = self.freezing.lock().await;
        match &self.runtime {
            Runtime::Own => self.in_cgroup(move |cgroup| cgroup.freeze(paused)).await?,
            Runtime::Runc(runc) => runc.pause(paused).await?,
        }
        self.paused.store(paused, Ordering::SeqCst);
        Ok(())
    }

    /// Sets new limits.
    pub async fn update(&self, mut resources: LinuxResources) -> Result<()> {
        match &self.runtime {
            Runtime::Own => {
                limits::check(&resources)?;
                limits::drop_empty(&mut resources);
                self.in_cgroup(move |cgroup| cgroup.update(&resources)).await
            }
            Runtime::Runc(runc) => runc.update(&resources).await,
        }
    }

    /// Does something to its cgroup on another thread: the kernel and systemd can take their
    /// time.
    async fn in_cgroup(&self, work: impl FnOnce(&Cgroup) -> Result<()> + Send + 'static) -> Result<()> {
        let cgroup = self.cgroup.clone();
        tokio::task::spawn_blocking(move || work(&cgroup)).await?
    }

    /// The status of one of its processes.
    pub fn status(&self, state: &ProcessState) -> Status {
        match state.status() {
            Status::RUNNING if self.paused.load(Ordering::SeqCst) => Status::PAUSED,
            status => status,
        }
    }

    /// Sends a signal to one of its processes. `false` if that has ended.
    pub async fn kill(&self, process: &Process, signal: u32, reaper: &Reaper) -> Result<bool> {
        let number = i32::try_from(signal)?;
        let (pid, number) = match process.state() {
            // The first process of a PID namespace ignores signals that it has no handler
            // for, and it cannot have one yet.
            ProcessState::Created { pid } if STOP_SIGNALS.contains(&number) => (pid, libc::SIGKILL),
            ProcessState::Created { pid } | ProcessState::Running { pid } => (pid, number),
            ProcessState::Added | ProcessState::Stopped { .. } => return Ok(false),
        };
        let sent = match &self.runtime {
            Runtime::Runc(runc) if std::ptr::eq(process, &raw const *self.init) => {
                runc.kill(number.unsigned_abs(), false).await?
            }
            _ => reaper.signal(pid, number)?,
        };
        self.thaw_if_killed(number).await;
        Ok(sent)
    }

    /// Sends a signal to all its processes. `false` if they have ended.
    pub async fn kill_all(&self, signal: u32) -> Result<bool> {
        if self.init.state().exit().is_some() {
            return Ok(false);
        }
        let number = i32::try_from(signal)?;
        let sent = match &self.runtime {
            Runtime::Own => self.in_cgroup(move |cgroup| cgroup.signal(number)).await.map(|()| true)?,
            Runtime::Runc(runc) => runc.kill(signal, true).await?,
        };
        self.thaw_if_killed(number).await;
        Ok(sent)
    }

    /// On cgroup v1 a frozen process does not die before it is thawed.
    async fn thaw_if_killed(&self, signal: i32) {
        if signal == libc::SIGKILL && self.paused.load(Ordering::SeqCst) {
            let _ = self.pause(false).await;
        }
    }

    /// Removes what the kernel has of it. An init that was never started is killed first.
    pub async fn remove(&self, reaper: &Reaper) -> Result<()> {
        if let ProcessState::Created { pid } = self.init.state() {
            let _ = reaper.signal(pid, libc::SIGKILL);
        }
        remove_from_kernel(&self.bundle, &self.id, reaper).await?;
        self.init.detach().await;
        Ok(())
    }
}

/// The OCI process, with the request's word on whether it has a terminal: that counts.
fn with_terminal(process: &[u8], terminal: bool) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(process) else {
        // It is refused when it is started.
        return process.to_vec();
    };
    fields.insert("terminal".to_owned(), terminal.into());
    serde_json::Value::Object(fields).to_string().into_bytes()
}

async fn prepare(
    stdio: &StdioUris,
    bundle: &Path,
    name: &str,
    namespace: &str,
    reaper: &Reaper,
) -> Result<PreparedIo> {
    Ok(match stdio.terminal {
        true => PreparedIo::Terminal(ConsoleSocket::bind(bundle, &format!("{name}.sock"))?),
        false => PreparedIo::Files(stdio.prepare(name, namespace, reaper).await?),
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
            runtime: Runtime::Own,
            namespace: "test".to_owned(),
            owner: (0, 0),
            execs: Mutex::default(),
            paused: AtomicBool::new(false),
            freezing: tokio::sync::Mutex::default(),
            pid_namespace: PidNamespace::Own,
            removal: tokio::sync::Mutex::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_decides_whether_a_process_has_a_terminal() {
        for (process, terminal) in
            [(r#"{"args":["sh"]}"#, true), (r#"{"args":["sh"],"terminal":true}"#, false)]
        {
            let fields: serde_json::Value =
                serde_json::from_slice(&with_terminal(process.as_bytes(), terminal)).unwrap();
            assert_eq!((&fields["terminal"], &fields["args"][0]), (&terminal.into(), &"sh".into()));
        }
        assert_eq!(with_terminal(b"nonsense", true), b"nonsense");
    }
}
