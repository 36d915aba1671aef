//! A kubelet's side, as far as these tests need one: pods and their containers
//! over CRI.

use std::time::Duration;

use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStats, ContainerStatsRequest,
    ContainerStatus, ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, ExecSyncResponse,
    ImageSpec, KeyValue, LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, PodSandboxStatsRequest, PodSandboxStatusRequest, PortMapping, RemoveContainerRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest, UpdateContainerResourcesRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::config::PAUSE;
use crate::shell::{self, HANG};
use crate::{Image, Lab, leaks};

/// The runtime handler that the pods name.
const HANDLER: &str = "ssr";

/// A connection to containerd.
pub struct Cri<'a> {
    lab: &'a Lab,
    runtime: tokio::runtime::Runtime,
    client: RuntimeServiceClient<Channel>,
}

/// Calls a method, waits for the answer and returns it.
macro_rules! call {
    ($cri:expr, $method:ident, $request:expr) => {{
        let mut client = $cri.client.clone();
        let mut request = Request::new($request);
        request.set_timeout(HANG);
        $cri.runtime.block_on(client.$method(request)).map(Response::into_inner)
    }};
}

impl<'a> Cri<'a> {
    /// Connects to the lab's containerd.
    pub fn of(lab: &'a Lab) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connect = async {
            let endpoint = Endpoint::from_shared(format!("unix://{}", lab.socket().display()))?;
            endpoint.connect().await
        };
        let channel = runtime.block_on(connect).expect("containerd listens");
        // What keeps a pod's namespaces is an image like any other.
        lab.linux_image();
        let linux = lab.linux_image().name();
        let tag = shell::run(&mut lab.ctr(["image", "tag", "--force", linux, PAUSE])).success();
        assert!(tag.stdout.contains(PAUSE), "{}", tag.stdout);
        Self { lab, runtime, client: RuntimeServiceClient::new(channel) }
    }

    /// Runs a pod without containers, each of which will have its own processes.
    /// `ports` are containers' ports and the host's that lead to them.
    pub fn run_pod(&self, name: &str, ports: &[(i32, i32)]) -> Pod<'_> {
        self.run_pod_with(name, ports, NamespaceMode::Container)
    }

    /// Runs a pod without containers, which will see each other's processes.
    pub fn run_pod_of_shared_processes(&self, name: &str) -> Pod<'_> {
        self.run_pod_with(name, &[], NamespaceMode::Pod)
    }

    fn run_pod_with(&self, name: &str, ports: &[(i32, i32)], pid: NamespaceMode) -> Pod<'_> {
        let ports = ports.iter().map(|(container_port, host_port)| PortMapping {
            container_port: *container_port,
            host_port: *host_port,
            ..Default::default()
        });
        let namespaces = NamespaceOption { pid: pid.into(), ..Default::default() };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.lab.dir().join(name).to_str().expect("an ordinary path").to_owned(),
            port_mappings: ports.collect(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}/pod-{name}", self.lab.cgroup()),
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

/// A pod; removed where the value ends.
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
    /// Replaces the image's entrypoint, where there is one.
    pub command: &'a [&'a str],
    /// The environment.
    pub env: &'a [(&'a str, &'a str)],
    /// The most memory, in bytes; 0 for no limit.
    pub memory: i64,
}

impl Pod<'_> {
    /// The pod's id, which is its shim's too.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pod's own address.
    pub fn ip(&self) -> String {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: false };
        let status = call!(self.cri, pod_sandbox_status, request).expect("a status").status;
        status.expect("a status").network.expect("a network").ip
    }

    /// Whether there are figures of the pod as a whole, and for how many containers.
    pub fn stats(&self) -> usize {
        let request = PodSandboxStatsRequest { pod_sandbox_id: self.id.clone() };
        let stats = call!(self.cri, pod_sandbox_stats, request).expect("figures").stats.expect("figures");
        let linux = stats.linux.expect("figures of Linux");
        let memory = linux.memory.expect("memory").working_set_bytes.expect("memory");
        assert!(memory.value > 0, "the pod needs no memory");
        linux.containers.len()
    }

    /// Creates and starts a container.
    pub fn start(&self, image: &Image, spec: &Spec) -> InPod<'_> {
        let container = self.create(image, spec).unwrap_or_else(|status| panic!("{status}"));
        container.start().unwrap_or_else(|status| panic!("{status}"));
        container
    }

    /// Creates a container.
    pub fn create(&self, image: &Image, spec: &Spec) -> Result<InPod<'_>, Status> {
        let log_path = format!("{}.log", spec.name);
        let env =
            |(key, value): &(&str, &str)| KeyValue { key: (*key).to_owned(), value: (*value).to_owned() };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: spec.name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.name().to_owned(), ..Default::default() }),
            command: spec.command.iter().map(|word| (*word).to_owned()).collect(),
            envs: spec.env.iter().map(env).collect(),
            log_path: log_path.clone(),
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
        Ok(InPod { pod: self, id, log: format!("{}/{log_path}", self.config.log_directory) })
    }

    /// Stops the pod and all that is in it, and removes both.
    pub fn stop(self) {
        self.end().unwrap_or_else(|status| panic!("{status}"));
    }

    fn end(&self) -> Result<(), Status> {
        call!(self.cri, stop_pod_sandbox, StopPodSandboxRequest { pod_sandbox_id: self.id.clone() })?;
        call!(self.cri, remove_pod_sandbox, RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() })?;
        // The pod's own cgroup is the kubelet's to remove. It goes when it is empty.
        for cgroup in leaks::cgroups(self.cri.lab.cgroup()) {
            if cgroup.ends_with(format!("pod-{}", self.config.hostname)) {
                let _ = std::fs::remove_dir(cgroup);
            }
        }
        Ok(())
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // Of a pod that is gone there is nothing to stop: no error in CRI.
        if let Err(status) = self.end() {
            eprintln!("the pod stays: {status}");
        }
    }
}

/// A container in a pod; it goes with the pod.
pub struct InPod<'a> {
    pod: &'a Pod<'a>,
    id: String,
    log: String,
}

impl InPod<'_> {
    /// Starts the container.
    pub fn start(&self) -> Result<(), Status> {
        let request = StartContainerRequest { container_id: self.id.clone() };
        call!(self.pod.cri, start_container, request).map(|_| ())
    }

    /// Runs a command in the container to its end.
    pub fn exec(&self, cmd: &[&str]) -> Result<ExecSyncResponse, Status> {
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
            timeout: 30,
        };
        call!(self.pod.cri, exec_sync, request)
    }

    /// What a kubelet asks for all the time.
    pub fn status(&self) -> ContainerStatus {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose: false };
        call!(self.pod.cri, container_status, request).expect("a status").status.expect("a status")
    }

    /// The figures that a kubelet shows and evicts by.
    pub fn stats(&self) -> ContainerStats {
        let request = ContainerStatsRequest { container_id: self.id.clone() };
        call!(self.pod.cri, container_stats, request).expect("figures").stats.expect("figures")
    }

    /// Sets another limit of memory, in bytes.
    pub fn limit_memory(&self, memory_limit_in_bytes: i64) {
        let request = UpdateContainerResourcesRequest {
            container_id: self.id.clone(),
            linux: Some(LinuxContainerResources { memory_limit_in_bytes, ..Default::default() }),
            ..Default::default()
        };
        call!(self.pod.cri, update_container_resources, request).expect("an update");
    }

    /// Asks the container to stop, and returns its exit code.
    pub fn stop(&self, grace: Duration) -> i32 {
        let timeout = grace.as_secs().try_into().expect("a short time");
        let request = StopContainerRequest { container_id: self.id.clone(), timeout };
        call!(self.pod.cri, stop_container, request).expect("a stop");
        self.wait().exit_code
    }

    /// Waits until the container has ended.
    pub fn wait(&self) -> ContainerStatus {
        let ended =
            || Some(self.status()).filter(|status| status.state == ContainerState::ContainerExited as i32);
        shell::poll(ended).unwrap_or_else(|| panic!("the container goes on: {}", self.log()))
    }

    /// Removes the container from the pod.
    pub fn remove(&self) {
        let request = RemoveContainerRequest { container_id: self.id.clone() };
        call!(self.pod.cri, remove_container, request).expect("a removal");
    }

    /// The container's log, as `kubectl logs` reads it: each line with its time
    /// and the name of the output.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
