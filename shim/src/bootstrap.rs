//! What containerd asks of this binary on the command line: what it is (`-v`, `-info`),
//! to start a shim for a container or a pod, to be that shim, and to clean up after one
//! that has died (`delete`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerd_shim::api::{DeleteRequest, DeleteResponse, ShutdownRequest, WaitRequest};
use containerd_shim::asynchronous::{ExitSignal, spawn as spawn_shim};
use containerd_shim::bootstrap::{BootstrapParams, BootstrapResult};
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::protos::shim_async::{Client, TaskClient, create_task};
use containerd_shim::protos::ttrpc;
use containerd_shim::protos::ttrpc::asynchronous::Server;
use containerd_shim::protos::ttrpc::asynchronous::transport::Listener;
use containerd_shim::{Flags, StartOpts};
use tokio::signal::unix::{SignalKind, signal};

use crate::cgroup::of_compilers;
use crate::environment;
use crate::info;
use crate::logger;
use crate::oci::spec;
use crate::oci::wasm_layer::Images;
use crate::reaper::Reaper;
use crate::task::events::Events;
use crate::task::make::remove_from_kernel;
use crate::task::service::TaskService;

const NAME: &str = "io.containerd.ssr.v1";

/// The file in a bundle that holds the address of its shim. containerd before 1.7 finds
/// shims again by it, and so does `delete`.
const ADDRESS_FILE: &str = "address";

/// Annotations by which containers share a shim: runc's own, and CRI's.
const GROUP_ANNOTATIONS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// The task API's service before containerd 2, and since.
const TASK_V2: &str = "containerd.task.v2.Task";
const TASK_V3: &str = "containerd.task.v3.Task";

/// Most parameters that are read from standard input, in bytes.
const MAX_INPUT: u64 = 4 << 20;

/// How long an ending shim waits for containerd to receive its last events.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a shim may take for each of the requests that end it.
const END_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Exit code of a container whose shim has died: that of a process killed by SIGKILL.
const KILLED: u32 = 137;

/// Runs the command line, `args` without the program's name.
pub fn main(args: &[OsString]) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            // containerd shows it to the user.
            eprintln!("{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<()> {
    let flags = containerd_shim::parse(args)?;
    if flags.version {
        println!("{NAME}:\n  Version: {}", info::VERSION);
        return Ok(());
    }
    if flags.info {
        let info = info::info(NAME, &read_input()?)?;
        return Ok(std::io::stdout().write_all(&info.write_to_bytes()?)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match flags.action.as_str() {
        "start" => runtime.block_on(start(&flags)),
        "delete" => runtime.block_on(delete(&flags)),
        // Options without a command: be the shim.
        action if action.is_empty() || action.starts_with('-') => {
            if flags.socket.is_empty() {
                bail!("this program is started by containerd, for containers of the runtime {NAME}");
            }
            runtime.block_on(serve(&flags))
        }
        other => bail!("unknown command '{other}'; expected start or delete"),
    }
}

/// Starts the shim as a process of its own and prints its address. A container joins the
/// shim of its pod if that runs.
async fn start(flags: &Flags) -> Result<()> {
    let params = bootstrap_params(&read_input()?, flags)?;
    let group = group(Path::new(""))?.unwrap_or_else(|| flags.id.clone());
    let options = match &params {
        Some(params) => StartOpts::from(params.clone()),
        None => options_of(flags),
    };
    let mut address = options.socket_address(&group);
    let _first = only_one_start(&address)?;
    let spawned = !answers(&address);
    if spawned {
        let bundle = std::env::current_dir()?;
        let environment = environment::of_shim(&bundle)?;
        address = spawn_shim(options, &group, environment).await.context("cannot start the shim")?;
        if !answers(&address) {
            bail!("the shim ended immediately; containerd's log may say why");
        }
    }
    let announced = announce(&address, params.is_some());
    if announced.is_err() && spawned {
        // On a full disk, for example. Nobody would ever find it.
        forget(&address, &flags.id).await;
    }
    announced
}

/// What the command line says about the shim.
fn options_of(flags: &Flags) -> StartOpts {
    StartOpts {
        id: flags.id.clone(),
        publish_binary: flags.publish_binary.clone(),
        address: flags.address.clone(),
        namespace: flags.namespace.clone(),
        debug: flags.debug,
        ..StartOpts::default()
    }
}

/// Tells containerd the shim's address.
fn announce(address: &str, bootstrapped: bool) -> Result<()> {
    fs::write(ADDRESS_FILE, address).context("cannot write the shim's address to the bundle")?;
    Ok(std::io::stdout().write_all(&answer(address.to_owned(), bootstrapped)?)?)
}

/// The answer to `start`: for containerd up to 2.2 a bare address, which stands for
/// version 2 of the task API; for 2.3 and later, which pass parameters on standard input,
/// a message.
fn answer(address: String, bootstrapped: bool) -> Result<Vec<u8>> {
    if !bootstrapped {
        return Ok(address.into_bytes());
    }
    let result =
        BootstrapResult { version: 3, address, protocol: "ttrpc".to_owned(), ..BootstrapResult::default() };
    Ok(result.write_to_bytes()?)
}

/// The parameters of containerd 2.3 and later. `None` if the input holds the options that
/// older versions pass: those parse as parameters, too, with the options' type in place of
/// the container's id.
fn bootstrap_params(input: &[u8], flags: &Flags) -> Result<Option<BootstrapParams>> {
    let Ok(params) = BootstrapParams::parse_from_bytes(input) else { return Ok(None) };
    if params.instance_id == flags.id && params.namespace == flags.namespace && !flags.id.is_empty() {
        return Ok(Some(params));
    }
    if params.containerd_ttrpc_address.is_empty() {
        return Ok(None);
    }
    bail!(
        "the parameters are for '{}' in '{}', the arguments for '{}' in '{}'",
        params.instance_id,
        params.namespace,
        flags.id,
        flags.namespace
    )
}

/// The name that the containers of a shim have in common, if this bundle's has one.
fn group(bundle: &Path) -> Result<Option<String>> {
    let spec = spec::load(bundle)?;
    let annotations = spec.annotations().clone().unwrap_or_default();
    Ok(GROUP_ANNOTATIONS.iter().find_map(|name| annotations.get(*name).cloned()))
}

fn read_input() -> Result<Vec<u8>> {
    let mut input = Vec::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_INPUT).read_to_end(&mut input)?;
    }
    Ok(input)
}

/// Keeps two containers of one pod from both starting its shim: the second waits, and then
/// finds the shim of the first. The directory of the shims' sockets is locked until the
/// answer is dropped.
fn only_one_start(address: &str) -> Result<File> {
    let directory = socket_path(address).parent().context("the shim's socket has no directory")?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create '{}'", directory.display()))?;
    let locked = File::open(directory).and_then(|directory| directory.lock().map(|()| directory));
    locked.with_context(|| format!("cannot lock '{}'", directory.display()))
}

fn socket_path(address: &str) -> &Path {
    Path::new(address.strip_prefix("unix://").unwrap_or(address))
}

fn answers(address: &str) -> bool {
    UnixStream::connect(socket_path(address)).is_ok()
}

/// Serves the task API until it is shut down.
async fn serve(flags: &Flags) -> Result<()> {
    logger::init();
    nix::sys::prctl::set_child_subreaper(true)?;
    let socket = socket_path(&flags.socket).to_owned();
    let listener = listen(&socket)?;
    let address = std::env::var("TTRPC_ADDRESS")
        .context("TTRPC_ADDRESS, the address of containerd's event service, is not set")?;
    let events = Arc::new(Events::connect(&address, &flags.namespace).await?);
    let exit = Arc::new(ExitSignal::default());
    let images = Images { address: flags.address.clone(), namespace: flags.namespace.clone() };
    let service = TaskService::new(Arc::clone(&events), Reaper::start()?, images, Arc::clone(&exit));
    let mut services = create_task(Arc::new(service.clone()));
    if let Some(v2) = create_task(Arc::new(service)).remove(TASK_V3) {
        services.insert(TASK_V2.to_owned(), v2);
    }
    let mut server = Server::new().add_listener(listener).register_service(services);
    server.start().await?;
    // A service manager that stops containerd may signal all its descendants; containers
    // outlive containerd.
    ignore_termination()?;
    release_parent()?;
    exit.wait().await;
    events.drain(EVENTS_TIMEOUT).await;
    server.shutdown().await?;
    let _ = fs::remove_file(socket);
    Ok(())
}

fn listen(socket: &Path) -> Result<Listener> {
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory)?;
    }
    // Whoever starts this process has found that nobody answers there.
    if socket.exists() {
        fs::remove_file(socket)?;
    }
    let listener =
        UnixListener::bind(socket).with_context(|| format!("cannot serve on '{}'", socket.display()))?;
    // Whatever the umask: who can connect rules the containers.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot protect '{}'", socket.display()))?;
    Ok(Listener::try_from(listener)?)
}

/// Catches the signals that would end this process and does nothing.
fn ignore_termination() -> Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        // The handler stays installed when the stream is dropped.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Closes standard output, whose end the process that has started this one waits for.
fn release_parent() -> Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    nix::unistd::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), libc::STDOUT_FILENO)?;
    Ok(())
}

/// Cleans up after a shim that containerd has lost: kills the container's processes and
/// removes what the kernel has of it.
async fn delete(flags: &Flags) -> Result<()> {
    let bundle = match flags.bundle.as_str() {
        "" => std::env::current_dir()?,
        bundle => PathBuf::from(bundle),
    };
    let mut address = fs::read_to_string(bundle.join(ADDRESS_FILE)).unwrap_or_default();
    if address.is_empty() {
        // The start was killed before it could write it.
        let group = group(&bundle).ok().flatten().unwrap_or_else(|| flags.id.clone());
        address = options_of(flags).socket_address(&group);
    }
    if bundle.join("config.json").exists() {
        remove_from_kernel(&bundle, &flags.id, &Reaper::start()?).await?;
    }
    // Of compilers that were at work for the shim.
    of_compilers::remove_left_when_ended().await;
    if !address.is_empty() {
        match answers(&address) {
            // If containerd was killed before it told the shim to end, it never will.
            true => forget(&address, &flags.id).await,
            false => drop(fs::remove_file(socket_path(&address))),
        }
    }
    let response = DeleteResponse {
        exit_status: KILLED,
        exited_at: MessageField::some(Timestamp::now()),
        ..DeleteResponse::default()
    };
    std::io::stdout().write_all(&response.write_to_bytes()?)?;
    Ok(())
}

/// Makes a running shim forget a container, and end unless it serves other containers of
/// the pod. Each request fails if there is nothing left to do.
async fn forget(address: &str, id: &str) {
    let Ok(client) = Client::connect(address).await else { return };
    let shim = TaskClient::new(client);
    let limit = || ttrpc::context::with_duration(END_REQUEST_TIMEOUT);
    let id = id.to_owned();
    let _ = shim.wait(limit(), &WaitRequest { id: id.clone(), ..WaitRequest::default() }).await;
    let _ = shim.delete(limit(), &DeleteRequest { id: id.clone(), ..DeleteRequest::default() }).await;
    let _ = shim.shutdown(limit(), &ShutdownRequest { id, ..ShutdownRequest::default() }).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim::api::Options;
    use containerd_shim::util::convert_to_any;

    fn flags() -> Flags {
        Flags { id: "site".to_owned(), namespace: "default".to_owned(), ..Flags::default() }
    }

    fn params() -> BootstrapParams {
        BootstrapParams {
            instance_id: "site".to_owned(),
            namespace: "default".to_owned(),
            containerd_ttrpc_address: "/run/containerd/containerd.sock.ttrpc".to_owned(),
            ..BootstrapParams::default()
        }
    }

    #[test]
    fn the_second_start_of_a_pod_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("unix://{}/s/socket", directory.path().display());
        let first = only_one_start(&address).unwrap();
        let (sender, second) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(only_one_start(&address).is_ok()));
        assert!(second.recv_timeout(Duration::from_millis(200)).is_err(), "it did not wait");
        drop(first);
        assert!(second.recv_timeout(Duration::from_secs(20)).unwrap());
    }

    #[test]
    fn containerd_before_2_3_gets_a_bare_address() {
        let options = convert_to_any(Box::new(Options { systemd_cgroup: true, ..Options::default() }));
        for input in [Vec::new(), options.unwrap().write_to_bytes().unwrap(), vec![0xff, 0xfe]] {
            assert!(bootstrap_params(&input, &flags()).unwrap().is_none());
        }
        assert_eq!(answer("unix:///run/s".to_owned(), false).unwrap(), b"unix:///run/s");
    }

    #[test]
    fn containerd_2_3_gets_a_message() {
        let input = params().write_to_bytes().unwrap();
        assert_eq!(bootstrap_params(&input, &flags()).unwrap(), Some(params()));
        let answer = answer("unix:///run/s".to_owned(), true).unwrap();
        let answer = BootstrapResult::parse_from_bytes(&answer).unwrap();
        assert_eq!((answer.version, answer.protocol.as_str()), (3, "ttrpc"));
        assert_eq!(answer.address, "unix:///run/s");
    }

    #[test]
    fn parameters_for_another_container_are_refused() {
        let other = BootstrapParams { instance_id: "other".to_owned(), ..params() };
        let error = bootstrap_params(&other.write_to_bytes().unwrap(), &flags()).unwrap_err();
        assert!(error.to_string().contains("'other'"));
    }

    #[test]
    fn containers_of_a_pod_share_a_shim() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.json");
        let pod = r#"{"ociVersion":"1.0.2","annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#;
        fs::write(&config, pod).unwrap();
        assert_eq!(group(directory.path()).unwrap().as_deref(), Some("pod"));
        fs::write(&config, r#"{"ociVersion":"1.0.2"}"#).unwrap();
        assert_eq!(group(directory.path()).unwrap(), None);
        assert!(group(Path::new("none")).is_err());
    }
}
