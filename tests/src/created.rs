//! A task that is created and not yet started: Docker's and a kubelet's first
//! step, for which `ctr` has no command of its own.

use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use crate::Container;
use crate::shell;

/// containerd.services.tasks.v1, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct CreateTaskRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, repeated, tag = "3")]
    rootfs: Vec<Mount>,
}

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
    /// Creates the task of a container that has none, and returns its process.
    pub fn create_task(&self) -> u32 {
        let request = CreateTaskRequest { container_id: self.id().to_owned(), rootfs: vec![self.rootfs()] };
        self.call::<_, CreateTaskResponse>("Create", request).pid
    }

    /// Starts a task that was created.
    pub fn start_task(&self) -> u32 {
        self.call::<_, StartResponse>("Start", StartRequest { container_id: self.id().to_owned() }).pid
    }

    /// The container's root filesystem, as the snapshotter says it is to be mounted.
    fn rootfs(&self) -> Mount {
        let said = shell::run(&mut self.lab().ctr(["snapshots", "mounts", "/target", self.id()])).success();
        let words: Vec<_> = said.stdout.split_whitespace().collect();
        let ["mount", "-t", kind, source, "/target", "-o", options] = words[..] else {
            panic!("not one mount: {}", said.stdout);
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
        let lab = self.lab();
        let path = PathAndQuery::try_from(format!("/containerd.services.tasks.v1.Tasks/{method}"));
        let mut request = tonic::Request::new(request);
        request.set_timeout(shell::HANG);
        let namespace = lab.namespace().parse().expect("an ordinary name");
        request.metadata_mut().insert("containerd-namespace", namespace);
        let answer = async {
            let endpoint = Endpoint::from_shared(format!("unix://{}", lab.socket().display()))?;
            let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
            client.ready().await?;
            let codec = tonic_prost::ProstCodec::default();
            let answer = client.unary(request, path.expect("a path"), codec).await?;
            Ok::<A, Box<dyn std::error::Error>>(answer.into_inner())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(answer).unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}
