//! Creates a task without starting it, as Docker and a kubelet do first, and changes its
//! limits. `ctr` has no commands for that, so this calls containerd's task API.

use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use super::container::Container;
use crate::shell;

// The fields of containerd.services.tasks.v1 that are needed here.

#[derive(Clone, PartialEq, Message)]
struct CreateTaskRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, repeated, tag = "3")]
    rootfs: Vec<Mount>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct UpdateTaskRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, optional, tag = "2")]
    resources: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, repeated, tag = "4")]
    options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateTaskResponse {
    #[prost(uint32, tag = "2")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct StartRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct StartResponse {
    #[prost(uint32, tag = "1")]
    pid: u32,
}

impl Container<'_> {
    /// Creates the task of a container that has none, and returns its process id.
    pub fn create_task(&self) -> u32 {
        let request = CreateTaskRequest { container_id: self.id().to_owned(), rootfs: vec![self.rootfs()] };
        self.call::<_, CreateTaskResponse>("Create", request).pid
    }

    /// Changes its limits to an OCI configuration's "resources".
    ///
    /// # Errors
    /// What containerd answers if they are not changed.
    pub fn update(&self, resources: &serde_json::Value) -> Result<(), String> {
        let type_url = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".to_owned();
        let resources = Some(Any { type_url, value: resources.to_string().into_bytes() });
        let request = UpdateTaskRequest { container_id: self.id().to_owned(), resources };
        self.try_call::<_, Empty>("Update", request).map(drop)
    }

    /// Starts a created task, and returns its process id.
    pub fn start_task(&self) -> u32 {
        self.call::<_, StartResponse>("Start", StartRequest { container_id: self.id().to_owned() }).pid
    }

    /// The mount that the snapshotter gives for the container's root filesystem.
    fn rootfs(&self) -> Mount {
        let output =
            shell::run(&mut self.containerd().ctr(["snapshots", "mounts", "/target", self.id()])).success();
        let words: Vec<_> = output.stdout.split_whitespace().collect();
        let ["mount", "-t", kind, source, "/target", "-o", options] = words[..] else {
            panic!("not one mount: {}", output.stdout);
        };
        Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        }
    }

    fn call<Q, A>(&self, method: &str, request: Q) -> A
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.try_call(method, request).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call<Q, A>(&self, method: &str, request: Q) -> Result<A, String>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let containerd = self.containerd();
        let path = PathAndQuery::try_from(format!("/containerd.services.tasks.v1.Tasks/{method}"));
        let mut request = tonic::Request::new(request);
        request.set_timeout(shell::HANG_TIMEOUT);
        let namespace = containerd.namespace().parse().expect("an ordinary name");
        request.metadata_mut().insert("containerd-namespace", namespace);
        let answer = async {
            let endpoint = Endpoint::from_shared(format!("unix://{}", containerd.socket().display()))?;
            let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
            client.ready().await?;
            let codec = tonic_prost::ProstCodec::default();
            let answer = client.unary(request, path.expect("a path"), codec).await?;
            Ok::<A, Box<dyn std::error::Error>>(answer.into_inner())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(answer).map_err(|error| error.to_string())
    }
}
