//! containerd's task API: what is asked of containers and their processes. Served
//! under the names of its versions 2 and 3, whose messages are the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

use crate::any_message;
use crate::container::Container;
use crate::events::Events;
use crate::metrics;
use crate::module_layer::Images;
use crate::oom::OomKills;
use crate::process::{Life, Process};
use crate::reaper::{Exit, Reaper};

/// What all requests share.
#[derive(Clone)]
pub struct TaskService(Arc<Shared>);

struct Shared {
    containers: Mutex<HashMap<String, Arc<Container>>>,
    events: Arc<Events>,
    reaper: Reaper,
    images: Images,
    exit: Arc<ExitSignal>,
}

type Answer<T> = ttrpc::Result<T>;

fn error(code: Code, message: impl ToString) -> ttrpc::Error {
    ttrpc::Error::RpcStatus(get_status(code, message))
}

/// An error whose cause is not the request.
fn failed(cause: anyhow::Error) -> ttrpc::Error {
    log::warn!("{cause:#}");
    error(Code::UNKNOWN, format!("{cause:#}"))
}

fn number(pid: i32) -> u32 {
    pid.unsigned_abs()
}

/// Does what a request asks for, whole: ttrpc drops the futures of a connection
/// that breaks, and containerd may be killed at any moment.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Answer<T>> + Send + 'static) -> Answer<T> {
    tokio::spawn(work).await.unwrap_or_else(|cause| Err(failed(cause.into())))
}

impl TaskService {
    /// A service without containers. It signals `exit` when it is to be shut down.
    pub fn new(events: Arc<Events>, reaper: Reaper, images: Images, exit: Arc<ExitSignal>) -> Self {
        Self(Arc::new(Shared { containers: Mutex::default(), events, reaper, images, exit }))
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.0.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn container(&self, id: &str) -> Answer<Arc<Container>> {
        let container = self.containers().get(id).cloned();
        container.ok_or_else(|| error(Code::NOT_FOUND, format!("there is no container '{id}'")))
    }

    fn process(&self, id: &str, exec_id: &str) -> Answer<(Arc<Container>, Arc<Process>)> {
        let container = self.container(id)?;
        let process = container
            .process(exec_id)
            .ok_or_else(|| error(Code::NOT_FOUND, format!("container '{id}' has no process '{exec_id}'")))?;
        Ok((container, process))
    }

    /// Tells of the process's end, when it comes.
    fn watch_end(
        &self,
        container: Arc<Container>,
        exec_id: String,
        process: Arc<Process>,
        pid: i32,
        end: tokio::sync::oneshot::Receiver<Exit>,
    ) {
        let service = self.clone();
        tokio::spawn(async move {
            // The reaper lives as long as the process that all this is in.
            let Ok(exit) = end.await else { return };
            if exec_id.is_empty() {
                container.end_further().await;
            }
            // Not before its start was told.
            let _turn = process.turn.lock().await;
            service.tell_oom(&container).await;
            process.set_life(Life::Stopped { pid, exit: exit.clone() });
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

    /// Tells of processes that the kernel has killed for want of memory, as they are.
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
                service.tell_oom(&container).await;
                if container.init.life().exit().is_some() {
                    return;
                }
            }
        });
    }

    async fn tell_oom(&self, container: &Container) {
        if container.oom_kills.as_ref().is_some_and(OomKills::any_new) {
            let event = TaskOOM { container_id: container.id.clone(), ..TaskOOM::default() };
            self.0.events.publish(event).await;
        }
    }

    async fn start_init(&self, container: &Container) -> Answer<i32> {
        let _turn = container.init.turn.lock().await;
        let pid = container.start(&self.0.reaper).await.map_err(failed)?;
        let event =
            TaskStart { container_id: container.id.clone(), pid: number(pid), ..TaskStart::default() };
        self.0.events.publish(event).await;
        Ok(pid)
    }

    async fn start_further(&self, container: &Arc<Container>, exec_id: &str) -> Answer<i32> {
        let further = container.further_named(exec_id).ok_or_else(|| {
            error(Code::NOT_FOUND, format!("container '{}' has no process '{exec_id}'", container.id))
        })?;
        let _turn = further.process.turn.lock().await;
        let _remember = self.0.reaper.remember();
        let pid = container.start_further(exec_id, &further, &self.0.reaper).await.map_err(failed)?;
        let event = TaskExecStarted {
            container_id: container.id.clone(),
            exec_id: exec_id.to_owned(),
            pid: number(pid),
            ..TaskExecStarted::default()
        };
        self.0.events.publish(event).await;
        let end = self.0.reaper.wait(pid);
        let process = Arc::clone(&further.process);
        self.watch_end(Arc::clone(container), exec_id.to_owned(), process, pid, end);
        Ok(pid)
    }

    async fn create_container(&self, request: CreateTaskRequest) -> Answer<CreateTaskResponse> {
        if !request.checkpoint.is_empty() {
            return Err(error(Code::UNIMPLEMENTED, "a container cannot be restored from a checkpoint"));
        }
        if self.containers().contains_key(&request.id) {
            return Err(error(Code::ALREADY_EXISTS, format!("container '{}' exists", request.id)));
        }
        let reaper = &self.0.reaper;
        let _remember = reaper.remember();
        let created = Container::create(&request, &self.0.images, reaper).await;
        let container = Arc::new(created.map_err(failed)?);
        let pid = container.init.life().pid();
        self.containers().insert(request.id.clone(), Arc::clone(&container));
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
        self.watch_end(container, String::new(), init, pid, reaper.wait(pid));
        Ok(CreateTaskResponse { pid: number(pid), ..CreateTaskResponse::default() })
    }

    async fn start_process(&self, request: StartRequest) -> Answer<StartResponse> {
        let container = self.container(&request.id)?;
        let pid = match request.exec_id.as_str() {
            "" => self.start_init(&container).await?,
            exec_id => self.start_further(&container, exec_id).await?,
        };
        Ok(StartResponse { pid: number(pid), ..StartResponse::default() })
    }

    async fn delete_process(&self, request: DeleteRequest) -> Answer<DeleteResponse> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let life = process.life();
        if matches!(life, Life::Running { .. }) {
            let message = format!("container '{}': the process runs; kill it first", request.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        let exit = if request.exec_id.is_empty() {
            let _turn = container.removal.lock().await;
            self.container(&request.id)?;
            container.remove(&self.0.reaper).await.map_err(failed)?;
            // Only created so far, it was ended by this.
            let exit = process.ended().await;
            self.containers().remove(&request.id);
            let event = TaskDelete {
                container_id: request.id,
                pid: number(life.pid()),
                exit_status: exit.code,
                exited_at: MessageField::some(exit.at.clone()),
                ..TaskDelete::default()
            };
            self.0.events.publish(event).await;
            exit
        } else {
            process.detach().await;
            container.forget(&request.exec_id);
            life.exit().cloned().unwrap_or_default()
        };
        Ok(DeleteResponse {
            pid: number(life.pid()),
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
        to_the_end(async move { service.create_container(request).await }).await
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Answer<StartResponse> {
        let service = self.clone();
        to_the_end(async move { service.start_process(request).await }).await
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Answer<Empty> {
        let container = self.container(&request.id)?;
        if !container.add(&request) {
            let message = format!("container '{}' has a process '{}'", request.id, request.exec_id);
            return Err(error(Code::ALREADY_EXISTS, message));
        }
        let event =
            TaskExecAdded { container_id: request.id, exec_id: request.exec_id, ..TaskExecAdded::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Answer<StateResponse> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let life = process.life();
        let stdio = &process.stdio;
        let mut response = StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: number(life.pid()),
            status: container.status(&life).into(),
            stdin: stdio.stdin.clone(),
            stdout: stdio.stdout.clone(),
            stderr: stdio.stderr.clone(),
            terminal: stdio.terminal,
            exec_id: request.exec_id,
            ..StateResponse::default()
        };
        if let Some(exit) = life.exit() {
            response.exit_status = exit.code;
            response.exited_at = MessageField::some(exit.at.clone());
        }
        Ok(response)
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Answer<WaitResponse> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        let exit = process.ended().await;
        Ok(WaitResponse {
            exit_status: exit.code,
            exited_at: MessageField::some(exit.at),
            ..WaitResponse::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Answer<Empty> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        let sent = match request.all && request.exec_id.is_empty() {
            true => container.kill_all(request.signal),
            false => container.kill(&process, request.signal),
        };
        match sent.map_err(failed)? {
            true => Ok(Empty::default()),
            false => Err(error(Code::NOT_FOUND, "the process has ended, or was never started")),
        }
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Answer<DeleteResponse> {
        let service = self.clone();
        to_the_end(async move { service.delete_process(request).await }).await
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Answer<PidsResponse> {
        let container = self.container(&request.id)?;
        let further = container.further_pids();
        let processes = container.cgroup.pids().map_err(failed)?.into_iter().map(|pid| {
            let mut info = ProcessInfo { pid: number(pid), ..ProcessInfo::default() };
            if let Some((exec_id, _)) = further.iter().find(|(_, further)| *further == pid) {
                let details = ProcessDetails { exec_id: exec_id.clone(), ..ProcessDetails::default() };
                info.info = any_message::pack(any_message::RUNC, &details).ok().into();
            }
            info
        });
        Ok(PidsResponse { processes: processes.collect(), ..PidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Answer<Empty> {
        self.container(&request.id)?.pause(true).map_err(failed)?;
        let event = TaskPaused { container_id: request.id, ..TaskPaused::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Answer<Empty> {
        self.container(&request.id)?.pause(false).map_err(failed)?;
        let event = TaskResumed { container_id: request.id, ..TaskResumed::default() };
        self.0.events.publish(event).await;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> Answer<Empty> {
        Err(error(Code::UNIMPLEMENTED, "containers of this runtime cannot be checkpointed"))
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
            .map_err(|cause| error(Code::INVALID_ARGUMENT, format!("the new limits: {cause}")))?;
        container.cgroup.update(&resources).map_err(failed)?;
        Ok(Empty::default())
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Answer<StatsResponse> {
        let container = self.container(&request.id)?;
        let stats: Any = metrics::of_process(container.init.life().pid()).map_err(failed)?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..StatsResponse::default() })
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Answer<ConnectResponse> {
        let container = self.container(&request.id)?;
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: number(container.init.life().pid()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }

    /// Ends the shim with its last container.
    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> Answer<Empty> {
        if request.now || self.containers().is_empty() {
            self.0.exit.signal();
        }
        Ok(Empty::default())
    }
}
