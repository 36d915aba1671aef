//! The requests of containerd's task API. Versions 2 and 3 have the same messages and are
//! served alike.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use containerd_shim::api::*;
use containerd_shim::asynchronous::ExitSignal;
use containerd_shim::protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO, TaskOOM, TaskPaused,
    TaskResumed, TaskStart,
};
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::shim::oci::ProcessDetails;
use containerd_shim::protos::ttrpc::{self, Code, get_status};
use containerd_shim::protos::types::task::ProcessInfo;
use containerd_shim::{Task, TtrpcContext};
use libcontainer::oci_spec::runtime::LinuxResources;
use parking_lot::Mutex;

use super::container::Container;
use super::events::Events;
use super::process::{NEVER_STARTED, Process, ProcessState};
use crate::any_message;
use crate::cgroup::oom::OomKills;
use crate::cgroup::stats;
use crate::oci::wasm_layer::Images;
use crate::reaper::{Exit, Reaper};

/// The task service.
#[derive(Clone)]
pub struct TaskService(Arc<Shared>);

/// How long a shim without containers waits for the request to end before it ends by itself:
/// after its last container, and before its first one. containerd may have been killed
/// meanwhile, and then never asks.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(5);
const UNUSED_AT_FIRST_TIMEOUT: Duration = Duration::from_secs(60);

struct Shared {
    containers: Mutex<HashMap<String, Arc<Container>>>,
    /// Requests to create a container that are under way.
    creating: AtomicUsize,
    events: Arc<Events>,
    reaper: Reaper,
    images: Images,
    exit: Arc<ExitSignal>,
}

type Answer<T> = ttrpc::Result<T>;

fn error(code: Code, message: impl ToString) -> ttrpc::Error {
    ttrpc::Error::RpcStatus(get_status(code, message))
}

/// An error that is not the request's fault.
fn failed(cause: anyhow::Error) -> ttrpc::Error {
    log::warn!("{cause:#}");
    error(Code::UNKNOWN, format!("{cause:#}"))
}

fn number(pid: i32) -> u32 {
    pid.unsigned_abs()
}

/// Runs a request to its end even if its connection breaks: ttrpc then drops the request's
/// future, and containerd may be killed at any moment.
async fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    tokio::spawn(work).await.unwrap_or_else(|cause| Err(failed(cause.into())))
}

/// Runs what may wait for the kernel or for systemd, while other requests are served.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|cause| Err(cause.into())).map_err(failed)
}

impl TaskService {
    /// A service without containers. It signals `exit` when it is shut down.
    pub fn new(events: Arc<Events>, reaper: Reaper, images: Images, exit: Arc<ExitSignal>) -> Self {
        let service = Self(Arc::new(Shared {
            containers: Mutex::default(),
            creating: AtomicUsize::new(0),
            events,
            reaper,
            images,
            exit,
        }));
        service.end_if_unused_for(UNUSED_AT_FIRST_TIMEOUT);
        service
    }

    fn unused(&self) -> bool {
        self.0.containers.lock().is_empty() && self.0.creating.load(Ordering::SeqCst) == 0
    }

    fn end_if_unused_for(&self, time: Duration) {
        let service = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if service.unused() {
                service.0.exit.signal();
            }
        });
    }

    fn container(&self, id: &str) -> Answer<Arc<Container>> {
        let container = self.0.containers.lock().get(id).cloned();
        container.ok_or_else(|| error(Code::NOT_FOUND, format!("no such container: '{id}'")))
    }

    fn process(&self, id: &str, exec_id: &str) -> Answer<(Arc<Container>, Arc<Process>)> {
        let container = self.container(id)?;
        let process = container
            .process(exec_id)
            .ok_or_else(|| error(Code::NOT_FOUND, format!("container '{id}' has no process '{exec_id}'")))?;
        Ok((container, process))
    }

    /// Publishes the process's exit when it comes.
    fn watch_exit(
        &self,
        container: Arc<Container>,
        exec_id: String,
        process: Arc<Process>,
        pid: i32,
        exit: tokio::sync::oneshot::Receiver<Exit>,
    ) {
        let service = self.clone();
        tokio::spawn(async move {
            // The reaper lives as long as this process.
            let Ok(exit) = exit.await else { return };
            if exec_id.is_empty() {
                container.kill_remaining().await;
            }
            // Not before its start has been published.
            let _transition = process.transition.lock().await;
            service.publish_oom(&container).await;
            process.set_state(ProcessState::Stopped { pid, exit: exit.clone() });
            let event = TaskExit {
                container_id: container.id.clone(),
                id: if exec_id.is_empty() { container.id.clone() } else { exec_id },
                pid: number(pid),
                exit_status: exit.code,
                exited_at: MessageField::some(exit.at),
                ..TaskExit::default()
            };
            service.0.events.publish(event).await;
        });
    }

    /// Publishes OOM kills as they happen.
    fn watch_oom(&self, container: &Arc<Container>) {
        let watch = match container.oom_kills.as_ref().map(OomKills::watch) {
            Some(Ok(watch)) => watch,
            Some(Err(error)) => return log::warn!("{error:#}"),
            None => return,
        };
        let (service, container) = (self.clone(), Arc::downgrade(container));
        tokio::spawn(async move {
            while watch.changed().await.is_ok() {
                let Some(container) = container.upgrade() else { return };
                service.publish_oom(&container).await;
                if container.init.state().exit().is_some() {
                    return;
                }
            }
        });
    }

    async fn publish_oom(&self, container: &Container) {
        if container.oom_kills.as_ref().is_some_and(OomKills::any_new) {
            let event = TaskOOM { container_id: container.id.clone(), ..TaskOOM::default() };
            self.0.events.publish(event).await;
        }
    }

    async fn start_init(&self, container: &Container) -> Answer<i32> {
        let _transition = container.init.transition.lock().await;
        let pid = container.start(&self.0.reaper).await.map_err(failed)?;
        let event =
            TaskStart { container_id: container.id.clone(), pid: number(pid), ..TaskStart::default() };
        self.0.events.publish(event).await;
        Ok(pid)
    }

    async fn start_exec(&self, container: &Arc<Container>, exec_id: &str) -> Answer<i32> {
        let exec = container.exec(exec_id).ok_or_else(|| {
            error(Code::NOT_FOUND, format!("container '{}' has no process '{exec_id}'", container.id))
        })?;
        let _transition = exec.process.transition.lock().await;
        let _remember = self.0.reaper.remember();
        let pid = container.start_exec(exec_id, &exec, &self.0.reaper).await.map_err(failed)?;
        let event = TaskExecStarted {
            container_id: container.id.clone(),
            exec_id: exec_id.to_owned(),
            pid: number(pid),
            ..TaskExecStarted::default()
        };
        self.0.events.publish(event).await;
        let exit = self.0.reaper.wait(pid);
        let process = Arc::clone(&exec.process);
        self.watch_exit(Arc::clone(container), exec_id.to_owned(), process, pid, exit);
        Ok(pid)
    }

    async fn create_container(&self, request: CreateTaskRequest) -> Answer<CreateTaskResponse> {
        if !request.checkpoint.is_empty() {
            return Err(error(
                Code::UNIMPLEMENTED,
                "this runtime cannot restore a container from a checkpoint",
            ));
        }
        if self.0.containers.lock().contains_key(&request.id) {
            return Err(error(Code::ALREADY_EXISTS, format!("container '{}' already exists", request.id)));
        }
        let reaper = &self.0.reaper;
        let _remember = reaper.remember();
        let created = Container::create(&request, &self.0.images, reaper).await;
        let container = Arc::new(created.map_err(failed)?);
        let pid = container.init.state().pid();
        self.0.containers.lock().insert(request.id.clone(), Arc::clone(&container));
        let io = TaskIO {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            ..TaskIO::default()
        };
        let event = TaskCreate {
            container_id: request.id,
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: MessageField::some(io),
            pid: number(pid),
            ..TaskCreate::default()
        };
        self.0.events.publish(event).await;
        self.watch_oom(&container);
        let init = Arc::clone(&container.init);
        self.watch_exit(container, String::new(), init, pid, reaper.wait(pid));
        Ok(CreateTaskResponse { pid: number(pid), ..CreateTaskResponse::default() })
    }

    async fn start_process(&self, request: StartRequest) -> Answer<StartResponse> {
        let container = self.container(&request.id)?;
        let pid = match request.exec_id.as_str() {
            "" => self.start_init(&container).await?,
            exec_id => self.start_exec(&container, exec_id).await?,
        };
        Ok(StartResponse { pid: number(pid), ..StartResponse::default() })
    }

    async fn delete_process(&self, request: DeleteRequest) -> Answer<DeleteResponse> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let state = process.state();
        if matches!(state, ProcessState::Running { .. }) {
            let message = format!("container '{}': the process is running; kill it first", request.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        let exit = if request.exec_id.is_empty() {
            let _removal = container.removal.lock().await;
            self.container(&request.id)?;
            container.remove(&self.0.reaper).await.map_err(failed)?;
            // An init that was never started is killed by this.
            let exit = process.wait().await;
            self.0.containers.lock().remove(&request.id);
            if self.unused() {
                self.end_if_unused_for(UNUSED_TIMEOUT);
            }
            let event = TaskDelete {
                container_id: request.id,
                pid: number(state.pid()),
                exit_status: exit.code,
                exited_at: MessageField::some(exit.at.clone()),
                ..TaskDelete::default()
            };
            self.0.events.publish(event).await;
            exit
        } else {
            // Somebody may wait for a process that is never started.
            process.end_unstarted(NEVER_STARTED);
            process.detach().await;
            container.remove_exec(&request.exec_id);
            process.state().exit().cloned().unwrap_or_default()
        };
        Ok(DeleteResponse {
            pid: number(state.pid()),
            exit_status: exit.code,
            exited_at: MessageField::some(exit.at),
            ..DeleteResponse::default()
        })
    }
}

#[async_trait]
impl Task for TaskService {
    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> Answer<CreateTaskResponse> {
        let service = self.clone();
        run_detached(async move {
            service.0.creating.fetch_add(1, Ordering::SeqCst);
            let created = service.create_container(request).await;
            service.0.creating.fetch_sub(1, Ordering::SeqCst);
            if service.unused() {
                service.end_if_unused_for(UNUSED_TIMEOUT);
            }
            created
        })
        .await
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Answer<StartResponse> {
        let service = self.clone();
        run_detached(async move { service.start_process(request).await }).await
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Answer<Empty> {
        let container = self.container(&request.id)?;
        if !container.add_exec(&request) {
            let message = format!("container '{}' already has a process '{}'", request.id, request.exec_id);
            return Err(error(Code::ALREADY_EXISTS, message));
        }
        let event =
            TaskExecAdded { container_id: request.id, exec_id: request.exec_id, ..TaskExecAdded::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Answer<StateResponse> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let state = process.state();
        let stdio = &process.stdio;
        let mut response = StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: number(state.pid()),
            status: container.status(&state).into(),
            stdin: stdio.stdin.clone(),
            stdout: stdio.stdout.clone(),
            stderr: stdio.stderr.clone(),
            terminal: stdio.terminal,
            exec_id: request.exec_id,
            ..StateResponse::default()
        };
        if let Some(exit) = state.exit() {
            response.exit_status = exit.code;
            response.exited_at = MessageField::some(exit.at.clone());
        }
        Ok(response)
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Answer<WaitResponse> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        let exit = process.wait().await;
        Ok(WaitResponse {
            exit_status: exit.code,
            exited_at: MessageField::some(exit.at),
            ..WaitResponse::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Answer<Empty> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let sent = match request.all && request.exec_id.is_empty() {
            true => container.kill_all(request.signal).await,
            false => container.kill(&process, request.signal, &self.0.reaper).await,
        };
        match sent.map_err(failed)? {
            true => Ok(Empty::default()),
            false => Err(error(Code::NOT_FOUND, "the process has ended or was never started")),
        }
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Answer<DeleteResponse> {
        let service = self.clone();
        run_detached(async move { service.delete_process(request).await }).await
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Answer<PidsResponse> {
        let container = self.container(&request.id)?;
        let execs = container.exec_pids();
        let cgroup = container.cgroup.clone();
        let pids = run_blocking(move || cgroup.pids()).await?;
        let processes = pids.into_iter().map(|pid| {
            let mut info = ProcessInfo { pid: number(pid), ..ProcessInfo::default() };
            if let Some((exec_id, _)) = execs.iter().find(|(_, exec)| *exec == pid) {
                let details = ProcessDetails { exec_id: exec_id.clone(), ..ProcessDetails::default() };
                info.info = any_message::pack(any_message::RUNC, &details).ok().into();
            }
            info
        });
        Ok(PidsResponse { processes: processes.collect(), ..PidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Answer<Empty> {
        self.container(&request.id)?.pause(true).await.map_err(failed)?;
        let event = TaskPaused { container_id: request.id, ..TaskPaused::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Answer<Empty> {
        self.container(&request.id)?.pause(false).await.map_err(failed)?;
        let event = TaskResumed { container_id: request.id, ..TaskResumed::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> Answer<Empty> {
        Err(error(Code::UNIMPLEMENTED, "this runtime cannot checkpoint containers"))
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Answer<Empty> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        process.resize(request.width, request.height).map_err(failed)?;
        Ok(Empty::default())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Answer<Empty> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        if request.stdin {
            process.close_input();
        }
        Ok(Empty::default())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Answer<Empty> {
        let container = self.container(&request.id)?;
        let resources: LinuxResources = serde_json::from_slice(&request.resources.value)
            .map_err(|cause| error(Code::INVALID_ARGUMENT, format!("invalid limits: {cause}")))?;
        container.update(resources).await.map_err(failed)?;
        Ok(Empty::default())
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Answer<StatsResponse> {
        let container = self.container(&request.id)?;
        let stats: Any = stats::of_process(container.init.state().pid()).map_err(failed)?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..StatsResponse::default() })
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Answer<ConnectResponse> {
        // As runc's shim: whoever asks may only want to know which process this is.
        let task_pid = self.container(&request.id).map_or(0, |container| container.init.state().pid());
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: number(task_pid),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }

    /// Ends the shim if it has no containers.
    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> Answer<Empty> {
        if request.now || self.0.containers.lock().is_empty() {
            self.0.exit.signal();
        }
        Ok(Empty::default())
    }
}

#[cfg(test)]
mod tests;
