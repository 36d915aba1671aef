//! A container, from its creation to its removal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use containerd_shim::api::{CreateTaskRequest, ExecProcessRequest, Status};

use crate::cgroup::Cgroup;
use crate::code_provider;
use crate::launcher;
use crate::module_layer::Images;
use crate::oom::OomKills;
use crate::process::{Life, PreparedIo, Process};
use crate::reaper::Reaper;
use crate::runtime::{Module, Mount, NO_ENTRYPOINT, Step};
use crate::runtime_options::RuntimeOptions;
use crate::signals;
use crate::spec::{self, Pids};
use crate::stdio::Stdio;
use crate::terminal::ConsoleSocket;

/// How long further processes may take to end after the first has.
const FURTHER_END: Duration = Duration::from_secs(5);

/// A container.
pub struct Container {
    pub id: String,
    pub bundle: PathBuf,
    pub init: Arc<Process>,
    pub cgroup: Cgroup,
    /// `None` where there is no memory cgroup.
    pub oom_kills: Option<OomKills>,
    namespace: String,
    further: Mutex<HashMap<String, Arc<Further>>>,
    paused: AtomicBool,
    pids: Pids,
    /// Held by the one who removes it.
    pub removal: tokio::sync::Mutex<()>,
}

/// A process that exec adds.
pub struct Further {
    pub process: Arc<Process>,
    /// As JSON; see the OCI runtime specification, "process".
    spec: Vec<u8>,
}

impl Container {
    /// Makes the container; its first process waits to be started.
    pub async fn create(request: &CreateTaskRequest, images: &Images, reaper: &Reaper) -> Result<Self> {
        let bundle = PathBuf::from(&request.bundle);
        let options = RuntimeOptions::read(request.options.as_ref())?;
        let spec = spec::load(&bundle)?;
        let cgroup = Cgroup::of_spec(&spec, &request.id, options.systemd_cgroup);
        let init = Process::new(Stdio {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        });
        let mut io = prepare(&init.stdio, &bundle, &request.id, &images.namespace)?;
        let mounts = request.rootfs.iter().map(|mount| Mount {
            kind: mount.type_.clone(),
            source: mount.source.clone(),
            options: mount.options.clone(),
        });
        let mounts: Vec<_> = mounts.collect();
        let stdio = io.for_runtime();
        let step = |module| Step::Create {
            bundle: bundle.clone(),
            id: request.id.clone(),
            mounts: mounts.clone(),
            systemd: options.systemd_cgroup,
            stdio: stdio.clone(),
            module,
        };
        let made = async {
            match make(&step(Module::Expected), &bundle, reaper).await? {
                NO_ENTRYPOINT => {
                    let module = module_of(&request.id, &bundle, images).await?;
                    make(&step(module), &bundle, reaper).await
                }
                pid => Ok(pid),
            }
        };
        let pid = match made.await {
            Ok(pid) => pid,
            Err(error) => {
                // Where the runtime itself was killed, it has left things behind.
                let step = Step::Delete { bundle: bundle.clone(), id: request.id.clone() };
                if let Err(left) = launcher::take(&step, reaper).await {
                    log::warn!("container {}: {left:#}", request.id);
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
            further: Mutex::default(),
            paused: AtomicBool::new(false),
            pids: Pids::of(&spec),
            removal: tokio::sync::Mutex::default(),
        };
        container.init.set_life(Life::Created { pid });
        if let Err(error) = container.init.attach(io) {
            container.remove(reaper).await?;
            return Err(error);
        }
        Ok(container)
    }

    /// Lets the first process go on to what it is to run.
    pub async fn start(&self, reaper: &Reaper) -> Result<i32> {
        let Life::Created { pid } = self.init.life() else {
            return Err(anyhow!("the container is not in the state 'created'"));
        };
        let step = Step::Start { bundle: self.bundle.clone(), id: self.id.clone() };
        launcher::take(&step, reaper).await?;
        self.init.set_life(Life::Running { pid });
        Ok(pid)
    }

    /// Notes a further process, to be started later. `false` if there is one of that name.
    pub fn add(&self, request: &ExecProcessRequest) -> bool {
        let process = Process::new(Stdio {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        });
        let further = Further { process: Arc::new(process), spec: request.spec.value.clone() };
        let mut all = self.further();
        if all.contains_key(&request.exec_id) {
            return false;
        }
        all.insert(request.exec_id.clone(), Arc::new(further));
        true
    }

    /// Starts a further process.
    pub async fn start_further(&self, exec_id: &str, further: &Further, reaper: &Reaper) -> Result<i32> {
        let process = &further.process;
        if !matches!(process.life(), Life::Added) {
            return Err(anyhow!("the process was started before"));
        }
        let file = self.bundle.join(format!("{exec_id}-process.json"));
        std::fs::write(&file, &further.spec).with_context(|| format!("cannot write '{}'", file.display()))?;
        let started = async {
            let mut io = prepare(&process.stdio, &self.bundle, exec_id, &self.namespace)?;
            let step = Step::Exec {
                bundle: self.bundle.clone(),
                id: self.id.clone(),
                process: file.clone(),
                stdio: io.for_runtime(),
            };
            let pid = make(&step, &self.bundle, reaper).await?;
            process.set_life(Life::Running { pid });
            if let Err(error) = process.attach(io) {
                log::warn!("container {}: process {exec_id} has no stdio: {error:#}", self.id);
            }
            Ok(pid)
        };
        let started = started.await;
        let _ = std::fs::remove_file(&file);
        started
    }

    /// The first process, or the further one of that name.
    pub fn process(&self, exec_id: &str) -> Option<Arc<Process>> {
        match exec_id {
            "" => Some(Arc::clone(&self.init)),
            _ => self.further_named(exec_id).map(|further| Arc::clone(&further.process)),
        }
    }

    pub fn further_named(&self, exec_id: &str) -> Option<Arc<Further>> {
        self.further().get(exec_id).cloned()
    }

    pub fn forget(&self, exec_id: &str) {
        self.further().remove(exec_id);
    }

    /// The further processes' names and numbers.
    pub fn further_pids(&self) -> Vec<(String, i32)> {
        let further = self.further();
        further.iter().map(|(name, further)| (name.clone(), further.process.life().pid())).collect()
    }

    /// What to do when the first process has ended, before that is told: the
    /// others end with it.
    pub async fn end_further(&self) {
        if self.pids != Pids::Own {
            let _ = self.cgroup.signal(libc::SIGKILL);
        }
        let processes: Vec<_> = self.further().values().map(|further| Arc::clone(&further.process)).collect();
        let running = processes.iter().filter(|process| matches!(process.life(), Life::Running { .. }));
        let ended = async {
            for process in running {
                process.ended().await;
            }
        };
        if tokio::time::timeout(FURTHER_END, ended).await.is_err() {
            log::warn!("container {}: further processes outlive its first one", self.id);
        }
    }

    /// Stops all its processes where they are, or lets them go on.
    pub fn pause(&self, paused: bool) -> Result<()> {
        self.cgroup.freeze(paused)?;
        self.paused.store(paused, Ordering::SeqCst);
        Ok(())
    }

    /// The status of one of its processes.
    pub fn status(&self, life: &Life) -> Status {
        match life.status() {
            Status::RUNNING if self.paused.load(Ordering::SeqCst) => Status::PAUSED,
            status => status,
        }
    }

    /// Sends a signal to one of its processes. `false` if that has ended.
    pub fn kill(&self, process: &Process, signal: u32) -> Result<bool> {
        let signal = i32::try_from(signal)?;
        let (pid, signal) = match process.life() {
            // It ignores what it has no handler for, being its namespace's first
            // process, and cannot have one yet.
            Life::Created { pid } if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) => {
                (pid, libc::SIGKILL)
            }
            Life::Created { pid } | Life::Running { pid } => (pid, signal),
            Life::Added | Life::Stopped { .. } => return Ok(false),
        };
        let lives = signals::send(pid, signal)?;
        self.thaw_the_dead(signal);
        Ok(lives)
    }

    /// Sends a signal to all its processes. `false` if they have ended.
    pub fn kill_all(&self, signal: u32) -> Result<bool> {
        if self.init.life().exit().is_some() {
            return Ok(false);
        }
        let signal = i32::try_from(signal)?;
        self.cgroup.signal(signal)?;
        self.thaw_the_dead(signal);
        Ok(true)
    }

    /// A paused process on cgroup v1 does not die before it is let go on.
    fn thaw_the_dead(&self, signal: i32) {
        if signal == libc::SIGKILL && self.paused.load(Ordering::SeqCst) {
            let _ = self.pause(false);
        }
    }

    /// Takes away what the kernel has of it. What had only been created is ended first.
    pub async fn remove(&self, reaper: &Reaper) -> Result<()> {
        if let Life::Created { pid } = self.init.life() {
            let _ = signals::send(pid, libc::SIGKILL);
        }
        let step = Step::Delete { bundle: self.bundle.clone(), id: self.id.clone() };
        launcher::take(&step, reaper).await?;
        self.init.detach().await;
        Ok(())
    }

    fn further(&self) -> MutexGuard<'_, HashMap<String, Arc<Further>>> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a step that makes a process, which may ask for its module's code.
async fn make(step: &Step, bundle: &Path, reaper: &Reaper) -> Result<i32> {
    let (socket, of_process) = code_provider::sockets()?;
    code_provider::serve(socket, bundle, reaper);
    launcher::take_with(step, Some(of_process), reaper).await
}

/// Where the file is that the image's root does not have.
async fn module_of(id: &str, bundle: &Path, images: &Images) -> Result<Module> {
    let found = async { images.module(id, &code_provider::containerd_root(bundle)?).await };
    let layer = found.await.context("no file of the entrypoint's name, and no layer that is a module")?;
    Ok(layer.map_or(Module::InRoot, Module::Layer))
}

fn prepare(stdio: &Stdio, bundle: &Path, name: &str, namespace: &str) -> Result<PreparedIo> {
    Ok(match stdio.terminal {
        true => PreparedIo::Terminal(ConsoleSocket::bind(bundle, &format!("{name}.sock"))?),
        false => PreparedIo::Files(stdio.prepare(name, namespace)?),
    })
}
