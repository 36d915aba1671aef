//! containerd's task API, called as a client that expects failures: every call answers or
//! fails within a time limit. `ctr` has no commands for some of it, and takes as long to
//! start as a container does.

use std::time::Duration;

use prost::Message;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use crate::engines::Containerd;
use crate::shell;

/// The type of the OCI process that exec takes.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// The type of the limits that update takes.
const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

const SNAPSHOTTER: &str = "overlayfs";

/// Why a call failed.
#[derive(Debug)]
pub struct CallError {
    /// What containerd, or the connection to it, says.
    pub message: String,
    /// Whether the container or process does not exist.
    pub not_found: bool,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// containerd does not know.
    Unknown,
    /// It waits to be started.
    Created,
    /// It runs.
    Running,
    /// It has ended with this exit code.
    Stopped(u32),
    /// It is frozen, or about to be.
    Paused,
}

/// A process as containerd knows it.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Its id in containerd's PID namespace.
    pub pid: u32,
    /// Its status.
    pub status: Status,
}

// The fields of containerd's messages that are needed here.

/// Names a container, or a process of it.
#[derive(Clone, PartialEq, Message)]
struct ProcessRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct CreateRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, repeated, tag = "3")]
    rootfs: Vec<Mount>,
    #[prost(string, tag = "5")]
    stdout: String,
    #[prost(string, tag = "6")]
    stderr: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, tag = "3")]
    target: String,
    #[prost(string, repeated, tag = "4")]
    options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateResponse {
    #[prost(uint32, tag = "2")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct StartResponse {
    #[prost(uint32, tag = "1")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct KillRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
    #[prost(uint32, tag = "3")]
    signal: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ExecRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, optional, tag = "6")]
    spec: Option<Any>,
    #[prost(string, tag = "7")]
    exec_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct UpdateRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, optional, tag = "2")]
    resources: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct DeleteResponse {
    #[prost(uint32, tag = "3")]
    exit_status: u32,
}

#[derive(Clone, PartialEq, Message)]
struct GetResponse {
    #[prost(message, optional, tag = "1")]
    process: Option<ProcessState>,
}

#[derive(Clone, PartialEq, Message)]
struct ProcessState {
    #[prost(uint32, tag = "3")]
    pid: u32,
    #[prost(int32, tag = "4")]
    status: i32,
    #[prost(uint32, tag = "9")]
    exit_status: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotRequest {
    #[prost(string, tag = "1")]
    snapshotter: String,
    #[prost(string, tag = "2")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct MountsResponse {
    #[prost(message, repeated, tag = "1")]
    mounts: Vec<Mount>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// The tasks of a containerd.
#[derive(Clone, Copy)]
pub struct Tasks<'a>(pub &'a Containerd);

impl Tasks<'_> {
    /// Creates the task of a container that has none, with its output in a file if `log`
    /// names one. Returns its process id.
    pub fn create(&self, id: &str, log: Option<&str>) -> Result<u32, CallError> {
        let stdout = log.map(|path| format!("file://{path}")).unwrap_or_default();
        let rootfs = self.mounts(id)?;
        let request = CreateRequest { container_id: id.to_owned(), rootfs, stderr: stdout.clone(), stdout };
        Ok(self.task::<_, CreateResponse>("Create", request)?.pid)
    }

    /// Starts a created task, or an added process if `exec_id` is not empty.
    pub fn start(&self, id: &str, exec_id: &str) -> Result<u32, CallError> {
        Ok(self.task::<_, StartResponse>("Start", process(id, exec_id))?.pid)
    }

    /// Sends a signal.
    pub fn kill(&self, id: &str, exec_id: &str, signal: u32) -> Result<(), CallError> {
        let request = KillRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned(), signal };
        self.task::<_, Empty>("Kill", request).map(drop)
    }

    /// Adds a process to a task whose site, if it is one, listens on a port. It is started by [`Self::start`].
    pub fn exec(&self, id: &str, exec_id: &str, args: &[&str], port: u16) -> Result<(), CallError> {
        let env = ["PATH=/bin".to_owned(), format!("SSR_LISTEN=127.0.0.1:{port}")];
        let spec = serde_json::json!({
            "args": args, "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": env,
        });
        let spec = Any { type_url: PROCESS_TYPE.to_owned(), value: spec.to_string().into_bytes() };
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        self.task::<_, Empty>("Exec", ExecRequest { container_id, exec_id, spec: Some(spec) }).map(drop)
    }

    /// Freezes a task, or thaws it.
    pub fn pause(&self, id: &str, paused: bool) -> Result<(), CallError> {
        let method = if paused { "Pause" } else { "Resume" };
        self.task::<_, Empty>(method, process(id, "")).map(drop)
    }

    /// Changes a task's limits to an OCI configuration's "resources".
    pub fn update(&self, id: &str, resources: &serde_json::Value) -> Result<(), CallError> {
        let value = resources.to_string().into_bytes();
        let resources = Some(Any { type_url: RESOURCES_TYPE.to_owned(), value });
        let request = UpdateRequest { container_id: id.to_owned(), resources };
        self.task::<_, Empty>("Update", request).map(drop)
    }

    /// What containerd knows of a task or of an added process. `None` if it does not exist.
    pub fn get(&self, id: &str, exec_id: &str) -> Result<Option<Task>, CallError> {
        let state = match self.task::<_, GetResponse>("Get", process(id, exec_id)) {
            Ok(response) => response.process.unwrap_or_default(),
            Err(error) if error.not_found => return Ok(None),
            Err(error) => return Err(error),
        };
        let status = match state.status {
            1 => Status::Created,
            2 => Status::Running,
            3 => Status::Stopped(state.exit_status),
            4 | 5 => Status::Paused,
            _ => Status::Unknown,
        };
        Ok(Some(Task { pid: state.pid, status }))
    }

    /// Deletes an ended task, or an ended process of it, and returns its exit code.
    pub fn delete(&self, id: &str, exec_id: &str) -> Result<u32, CallError> {
        let method = if exec_id.is_empty() { "Delete" } else { "DeleteProcess" };
        Ok(self.task::<_, DeleteResponse>(method, process(id, exec_id))?.exit_status)
    }

    /// Deletes a container and its snapshot. It need not exist.
    pub fn delete_container(&self, id: &str) -> Result<(), CallError> {
        let container = ContainerRequest { id: id.to_owned() };
        let deleted = self.call::<_, Empty>("containers.v1.Containers/Delete", container);
        let removed = self.call::<_, Empty>("snapshots.v1.Snapshots/Remove", snapshot(id));
        for result in [deleted, removed] {
            match result {
                Err(error) if !error.not_found => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn mounts(&self, id: &str) -> Result<Vec<Mount>, CallError> {
        Ok(self.call::<_, MountsResponse>("snapshots.v1.Snapshots/Mounts", snapshot(id))?.mounts)
    }

    fn task<Q, A>(&self, method: &str, request: Q) -> Result<A, CallError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.call(&format!("tasks.v1.Tasks/{method}"), request)
    }

    /// Each call has a connection of its own: containerd may have been killed meanwhile.
    fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, CallError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let containerd = self.0;
        let path = PathAndQuery::try_from(format!("/containerd.services.{method}")).expect("a path");
        let mut request = tonic::Request::new(request);
        let namespace = containerd.namespace().parse().expect("an ordinary name");
        request.metadata_mut().insert("containerd-namespace", namespace);
        let fails = |error: &dyn std::fmt::Display| CallError {
            message: format!("{method}: {error}"),
            not_found: false,
        };
        let answer = async {
            let endpoint = Endpoint::from_shared(format!("unix://{}", containerd.socket().display()))
                .map_err(|error| fails(&error))?;
            let channel = endpoint.connect().await.map_err(|error| fails(&error))?;
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.map_err(|error| fails(&error))?;
            let codec = tonic_prost::ProstCodec::default();
            let answer = client.unary(request, path, codec).await.map_err(|status| CallError {
                message: format!("{method}: {}", status.message()),
                not_found: status.code() == Code::NotFound,
            })?;
            Ok::<A, CallError>(answer.into_inner())
        };
        let limit: Duration = shell::HANG_TIMEOUT;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime
            .block_on(async { tokio::time::timeout(limit, answer).await })
            .unwrap_or_else(|_| Err(fails(&format!("no answer within {limit:?}"))))
    }
}

fn process(id: &str, exec_id: &str) -> ProcessRequest {
    ProcessRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() }
}

fn snapshot(key: &str) -> SnapshotRequest {
    SnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() }
}
