//! A CRI client: pods and their containers, managed as a kubelet does.

use std::path::Path;
use std::time::Duration;

use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStats, ContainerStatsRequest,
    ContainerStatus, ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, ExecSyncResponse,
    IdMapping, ImageSpec, KeyValue, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatsRequest, PodSandboxStatusRequest,
    PortMapping, PullImageRequest, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest, UpdateContainerResourcesRequest,
    UserNamespace,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::config::PAUSE;
use super::containerd::Containerd;
use crate::images::Image;
use crate::leaks;
use crate::shell::{self, HANG_TIMEOUT};

/// The runtime handler of the pods.
const HANDLER: &str = "ssr";

/// A connection to containerd's CRI service.
pub struct Cri<'a> {
    containerd: &'a Containerd,
    runtime: tokio::runtime::Runtime,
    client: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// The users of a pod that has its own.
const OWN_USERS: IdMapping = IdMapping { host_id: 100_000, container_id: 0, length: 65536 };

/// Calls a method and returns its response.
macro_rules! call {
    ($cri:expr, $method:ident, $request:expr) => {{
        let mut client = $cri.client.clone();
        let mut request = Request::new($request);
        request.set_timeout(HANG_TIMEOUT);
        $cri.runtime.block_on(client.$method(request)).map(Response::into_inner)
    }};
}

impl<'a> Cri<'a> {
    /// Connects to a containerd that was started for CRI.
    pub fn connect(containerd: &'a Containerd) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connect = async {
            let endpoint = Endpoint::from_shared(format!("unix://{}", containerd.socket().display()))?;
            endpoint.connect().await
        };
        let channel = runtime.block_on(connect).expect("containerd listens");
        let linux = containerd.linux_image().name();
        let tag = shell::run(&mut containerd.ctr(["image", "tag", "--force", linux, PAUSE])).success();
        assert!(tag.stdout.contains(PAUSE), "{}", tag.stdout);
        let images = ImageServiceClient::new(channel.clone());
        Self { containerd, runtime, client: RuntimeServiceClient::new(channel), images }
    }

    /// Pulls an image from its registry, for pods of the runtime class.
    pub fn pull(&self, name: &str) -> Result<(), Status> {
        let image =
            ImageSpec { image: name.to_owned(), runtime_handler: HANDLER.to_owned(), ..Default::default() };
        let mut request = Request::new(PullImageRequest { image: Some(image), ..Default::default() });
        request.set_timeout(HANG_TIMEOUT);
        self.runtime.block_on(self.images.clone().pull_image(request)).map(drop)
    }

    /// Runs a pod without containers, each of which will have its own PID namespace.
    /// `ports` pairs container ports with the host ports that lead to them.
    pub fn run_pod(&self, name: &str, ports: &[(i32, i32)]) -> Pod<'_> {
        let parent = self.cgroup_parent(name);
        let pids = NamespaceOption { pid: NamespaceMode::Container.into(), ..Default::default() };
        self.run_pod_with(name, ports, parent, pids)
    }

    /// Runs a pod without containers, which will share a PID namespace.
    pub fn run_pod_with_shared_pids(&self, name: &str) -> Pod<'_> {
        let pids = NamespaceOption { pid: NamespaceMode::Pod.into(), ..Default::default() };
        self.run_pod_with(name, &[], self.cgroup_parent(name), pids)
    }

    /// Runs a pod without containers in a slice of systemd's and in the node's network.
    pub fn run_pod_in_slice(&self, name: &str, slice: &str) -> Pod<'_> {
        let on_node = NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: NamespaceMode::Container.into(),
            ..Default::default()
        };
        self.run_pod_with(name, &[], slice.to_owned(), on_node)
    }

    /// Runs a pod without containers, whose users are others on the node: root is 100000 there
    /// (`hostUsers: false`).
    pub fn run_pod_with_own_users(&self, name: &str) -> Pod<'_> {
        let users =
            UserNamespace { mode: NamespaceMode::Pod.into(), uids: vec![OWN_USERS], gids: vec![OWN_USERS] };
        let namespaces = NamespaceOption {
            pid: NamespaceMode::Container.into(),
            userns_options: Some(users),
            ..Default::default()
        };
        self.run_pod_with(name, &[], self.cgroup_parent(name), namespaces)
    }

    fn cgroup_parent(&self, name: &str) -> String {
        format!("/{}/pod-{name}", self.containerd.cgroup())
    }

    fn run_pod_with(
        &self,
        name: &str,
        ports: &[(i32, i32)],
        cgroup_parent: String,
        namespaces: NamespaceOption,
    ) -> Pod<'_> {
        let ports = ports.iter().map(|(container_port, host_port)| PortMapping {
            container_port: *container_port,
            host_port: *host_port,
            ..Default::default()
        });
        let on_node = namespaces.network == i32::from(NamespaceMode::Node);
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            // In the node's network the hostname is the node's.
            hostname: if on_node { String::new() } else { name.to_owned() },
            log_directory: self.containerd.dir().join(name).to_str().expect("an ordinary path").to_owned(),
            port_mappings: ports.collect(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent,
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces.clone()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        std::fs::create_dir_all(&config.log_directory).expect("a directory");
        let request =
            RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: HANDLER.to_owned() };
        let id = call!(self, run_pod_sandbox, request).expect("a pod").pod_sandbox_id;
        Pod { cri: self, id, config, namespaces }
    }
}

/// A pod, removed when the value is dropped.
pub struct Pod<'a> {
    cri: &'a Cri<'a>,
    id: String,
    config: PodSandboxConfig,
    namespaces: NamespaceOption,
}

/// What a container of a pod runs.
#[derive(Default)]
pub struct Spec<'a> {
    /// The container's name in the pod.
    pub name: &'a str,
    /// Replaces the image's entrypoint, if it is not empty.
    pub command: &'a [&'a str],
    /// The environment's variables.
    pub env: &'a [(&'a str, &'a str)],
    /// The memory limit, in bytes. 0 means none.
    pub memory: i64,
    /// A directory of the node and where it is mounted. Its files have the pod's users.
    pub volume: Option<(&'a Path, &'a str)>,
    /// Whether nothing of the volume can be written to, nor of what is mounted below it
    /// (`recursiveReadOnly: Enabled`).
    pub read_only: bool,
}

impl Pod<'_> {
    /// The pod's id, which is also its shim's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pod's IP address.
    pub fn ip(&self) -> String {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: false };
        let status = call!(self.cri, pod_sandbox_status, request).expect("a status").status;
        status.expect("a status").network.expect("a network").ip
    }

    /// Reads the pod's statistics, and returns for how many containers there are any.
    pub fn count_stats(&self) -> usize {
        let request = PodSandboxStatsRequest { pod_sandbox_id: self.id.clone() };
        let stats =
            call!(self.cri, pod_sandbox_stats, request).expect("statistics").stats.expect("statistics");
        let linux = stats.linux.expect("Linux statistics");
        let memory = linux.memory.expect("memory").working_set_bytes.expect("memory");
        assert!(memory.value > 0, "the pod uses no memory");
        linux.containers.len()
    }

    /// Creates and starts a container.
    pub fn start(&self, image: &Image, spec: &Spec) -> PodContainer<'_> {
        self.start_pulled(image.name(), spec)
    }

    /// Creates a container.
    pub fn create(&self, image: &Image, spec: &Spec) -> Result<PodContainer<'_>, Status> {
        self.create_of(image.name(), spec)
    }

    /// Creates and starts a container of an image that was pulled.
    pub fn start_pulled(&self, image: &str, spec: &Spec) -> PodContainer<'_> {
        let container = self.create_of(image, spec).unwrap_or_else(|status| panic!("{status}"));
        container.start().unwrap_or_else(|status| panic!("{status}"));
        container
    }

    fn create_of(&self, image: &str, spec: &Spec) -> Result<PodContainer<'_>, Status> {
        let log_path = format!("{}.log", spec.name);
        let env =
            |(key, value): &(&str, &str)| KeyValue { key: (*key).to_owned(), value: (*value).to_owned() };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: spec.name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.to_owned(), ..Default::default() }),
            command: spec.command.iter().map(|word| (*word).to_owned()).collect(),
            envs: spec.env.iter().map(env).collect(),
            log_path: log_path.clone(),
            mounts: spec.volume.iter().map(|(host, path)| self.mount(host, path, spec.read_only)).collect(),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    memory_limit_in_bytes: spec.memory,
                    ..Default::default()
                }),
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(self.namespaces.clone()),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let id = call!(self.cri, create_container, request)?.container_id;
        Ok(PodContainer { pod: self, id, log: format!("{}/{log_path}", self.config.log_directory) })
    }

    fn mount(&self, host: &Path, container: &str, read_only: bool) -> Mount {
        let users = self.namespaces.userns_options.clone().unwrap_or_default();
        Mount {
            host_path: host.to_str().expect("an ordinary path").to_owned(),
            container_path: container.to_owned(),
            uid_mappings: users.uids,
            gid_mappings: users.gids,
            readonly: read_only,
            recursive_read_only: read_only,
            ..Default::default()
        }
    }

    /// Stops the pod with its containers, and removes them.
    pub fn stop(self) {
        self.remove().unwrap_or_else(|status| panic!("{status}"));
    }

    fn remove(&self) -> Result<(), Status> {
        call!(self.cri, stop_pod_sandbox, StopPodSandboxRequest { pod_sandbox_id: self.id.clone() })?;
        call!(self.cri, remove_pod_sandbox, RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() })?;
        // Removing the pod's own cgroup is the kubelet's task. It succeeds once it is empty.
        for cgroup in leaks::cgroups(self.cri.containerd.cgroup()) {
            if cgroup.ends_with(format!("pod-{}", self.config.hostname)) {
                let _ = std::fs::remove_dir(cgroup);
            }
        }
        Ok(())
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // CRI does not fail to stop a pod that has been removed.
        if let Err(status) = self.remove() {
            eprintln!("the pod is not removed: {status}");
        }
    }
}

/// A container in a pod. It is removed with the pod.
pub struct PodContainer<'a> {
    pod: &'a Pod<'a>,
    id: String,
    log: String,
}

impl PodContainer<'_> {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Starts the container.
    pub fn start(&self) -> Result<(), Status> {
        let request = StartContainerRequest { container_id: self.id.clone() };
        call!(self.pod.cri, start_container, request).map(|_| ())
    }

    /// Runs a command in the container to completion.
    pub fn exec(&self, cmd: &[&str]) -> Result<ExecSyncResponse, Status> {
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
            timeout: 30,
        };
        call!(self.pod.cri, exec_sync, request)
    }

    /// The container's status, which a kubelet polls.
    pub fn status(&self) -> ContainerStatus {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose: false };
        call!(self.pod.cri, container_status, request).expect("a status").status.expect("a status")
    }

    /// The container's statistics, which a kubelet reports and evicts by.
    pub fn stats(&self) -> ContainerStats {
        let request = ContainerStatsRequest { container_id: self.id.clone() };
        call!(self.pod.cri, container_stats, request).expect("statistics").stats.expect("statistics")
    }

    /// Changes the memory limit, in bytes.
    pub fn limit_memory(&self, memory_limit_in_bytes: i64) {
        let request = UpdateContainerResourcesRequest {
            container_id: self.id.clone(),
            linux: Some(LinuxContainerResources { memory_limit_in_bytes, ..Default::default() }),
            ..Default::default()
        };
        call!(self.pod.cri, update_container_resources, request).expect("an update");
    }

    /// Stops the container, which is killed after the grace period, and returns its exit
    /// code.
    pub fn stop(&self, grace: Duration) -> i32 {
        let timeout = grace.as_secs().try_into().expect("a short time");
        let request = StopContainerRequest { container_id: self.id.clone(), timeout };
        call!(self.pod.cri, stop_container, request).expect("a stop");
        self.wait().exit_code
    }

    /// Waits until the container has exited.
    pub fn wait(&self) -> ContainerStatus {
        let exited =
            || Some(self.status()).filter(|status| status.state == ContainerState::ContainerExited as i32);
        shell::poll(exited).unwrap_or_else(|| panic!("the container keeps running: {}", self.log()))
    }

    /// Removes the container from the pod.
    pub fn remove(&self) {
        let request = RemoveContainerRequest { container_id: self.id.clone() };
        call!(self.pod.cri, remove_container, request).expect("a removal");
    }

    /// The container's log as containerd writes it for a kubelet: each line with its time
    /// and the name of its stream.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
