//! The service over a real ttrpc connection, with containers in every state.

use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use containerd_shim::protos::shim_async::{Client, TaskClient, create_task};
use containerd_shim::protos::ttrpc::asynchronous::Server;
use containerd_shim::protos::ttrpc::asynchronous::transport::Listener;
use containerd_shim::protos::ttrpc::context::{Context, with_duration};

use super::*;

/// A service, a client of it, and the directory of their sockets.
struct Fixture {
    service: TaskService,
    client: TaskClient,
    exit: Arc<ExitSignal>,
    _server: Server,
    _directory: tempfile::TempDir,
    /// Stands for containerd's event service: it accepts connections and never answers.
    _events: UnixListener,
}

fn context() -> Context {
    with_duration(Duration::from_secs(30))
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let socket = |name: &str| directory.path().join(name);
    let events_listener = UnixListener::bind(socket("events")).unwrap();
    let events = Events::connect(socket("events").to_str().unwrap(), "test").await.unwrap();
    let exit = Arc::new(ExitSignal::default());
    let images = Images { address: String::new(), namespace: "test".to_owned() };
    let service = TaskService::new(Arc::new(events), Reaper::default(), images, Arc::clone(&exit));
    let listener = Listener::try_from(UnixListener::bind(socket("task")).unwrap()).unwrap();
    let services = create_task(Arc::new(service.clone()));
    let mut server = Server::new().add_listener(listener).register_service(services);
    server.start().await.unwrap();
    let client = Client::connect(&format!("unix://{}", socket("task").display())).await.unwrap();
    Fixture {
        service,
        client: TaskClient::new(client),
        exit,
        _server: server,
        _directory: directory,
        _events: events_listener,
    }
}

impl Fixture {
    /// Adds a container, named after its state.
    fn add(&self, id: &str, state: ProcessState) -> Arc<Container> {
        let container = Arc::new(Container::in_state(id, state));
        self.service.0.containers.lock().insert(id.to_owned(), Arc::clone(&container));
        container
    }
}

/// The code of an error.
fn code<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> Code {
    match result.unwrap_err() {
        ttrpc::Error::RpcStatus(status) => status.code(),
        error => panic!("{error}"),
    }
}

fn stopped(pid: i32, code: u32) -> ProcessState {
    ProcessState::Stopped { pid, exit: Exit { code, ..Exit::default() } }
}

/// A process that lives until it is signalled.
fn process() -> (Child, i32) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    (child, pid)
}

fn kill(id: &str, signal: i32) -> KillRequest {
    KillRequest { id: id.to_owned(), signal: number(signal), ..KillRequest::default() }
}

#[tokio::test]
async fn requests_about_an_unknown_container_or_process_are_not_found() {
    let fixture = fixture().await;
    let client = &fixture.client;
    fixture.add("known", ProcessState::Running { pid: 1 });
    for (id, exec_id) in [("unknown", ""), ("known", "unknown")] {
        let (id, exec_id) = (id.to_owned(), exec_id.to_owned());
        macro_rules! assert_not_found {
            ($($method:ident $request:ident),*) => {$(
                let request = $request { id: id.clone(), exec_id: exec_id.clone(), ..$request::default() };
                let answer = client.$method(context(), &request).await;
                assert_eq!(code(answer), Code::NOT_FOUND, "{}", stringify!($method));
            )*};
        }
        assert_not_found!(
            state StateRequest, start StartRequest, wait WaitRequest, kill KillRequest, delete DeleteRequest,
            resize_pty ResizePtyRequest, close_io CloseIORequest
        );
    }
    let id = "unknown".to_owned();
    let exec = ExecProcessRequest { id: id.clone(), ..ExecProcessRequest::default() };
    assert_eq!(code(client.exec(context(), &exec).await), Code::NOT_FOUND);
    // Only to know which process the shim is.
    let connect = ConnectRequest { id: id.clone(), ..ConnectRequest::default() };
    assert_eq!(client.connect(context(), &connect).await.unwrap().task_pid, 0);
    let pause = PauseRequest { id, ..PauseRequest::default() };
    assert_eq!(code(client.pause(context(), &pause).await), Code::NOT_FOUND);
}

#[tokio::test]
async fn state_and_connect_answer_the_pid_in_every_state() {
    let fixture = fixture().await;
    for (id, state, status, exit) in [
        ("created", ProcessState::Created { pid: 7 }, Status::CREATED, 0),
        ("running", ProcessState::Running { pid: 7 }, Status::RUNNING, 0),
        ("stopped", stopped(7, 3), Status::STOPPED, 3),
    ] {
        fixture.add(id, state);
        let request = StateRequest { id: id.to_owned(), ..StateRequest::default() };
        let answer = fixture.client.state(context(), &request).await.unwrap();
        assert_eq!(
            (answer.status.enum_value(), answer.pid, answer.exit_status),
            (Ok(status), 7, exit),
            "{id}"
        );
        let request = ConnectRequest { id: id.to_owned(), ..ConnectRequest::default() };
        let answer = fixture.client.connect(context(), &request).await.unwrap();
        assert_eq!((answer.task_pid, answer.shim_pid), (7, std::process::id()), "{id}");
    }
}

#[tokio::test]
async fn a_signal_reaches_a_running_init_and_a_created_one_is_killed_by_those_it_would_ignore() {
    let fixture = fixture().await;
    for (created, sent, received) in [
        (false, libc::SIGTERM, libc::SIGTERM),
        (false, libc::SIGUSR1, libc::SIGUSR1),
        (true, libc::SIGTERM, libc::SIGKILL),
        (true, libc::SIGINT, libc::SIGKILL),
        (true, libc::SIGUSR1, libc::SIGUSR1),
    ] {
        let (mut child, pid) = process();
        let state = if created { ProcessState::Created { pid } } else { ProcessState::Running { pid } };
        fixture.add("site", state);
        let _exit = fixture.service.0.reaper.wait(pid);
        fixture.client.kill(context(), &kill("site", sent)).await.unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(received));
        // Reaped, and the shim does not know yet.
        assert_eq!(code(fixture.client.kill(context(), &kill("site", sent)).await), Code::NOT_FOUND);
    }
    let container = fixture.add("stopped", stopped(1, 0));
    assert_eq!(code(fixture.client.kill(context(), &kill("stopped", libc::SIGKILL)).await), Code::NOT_FOUND);
    let all = KillRequest { all: true, ..kill("stopped", libc::SIGKILL) };
    assert_eq!(code(fixture.client.kill(context(), &all).await), Code::NOT_FOUND);
    assert!(container.init.state().exit().is_some());
}

#[tokio::test]
async fn only_what_is_new_is_created_only_what_is_created_started_and_nothing_running_deleted() {
    let fixture = fixture().await;
    let client = &fixture.client;
    fixture.add("running", ProcessState::Running { pid: 1 });
    fixture.add("stopped", stopped(1, 0));
    let create = CreateTaskRequest { id: "running".to_owned(), ..CreateTaskRequest::default() };
    assert_eq!(code(client.create(context(), &create).await), Code::ALREADY_EXISTS);
    let restore = CreateTaskRequest { checkpoint: "x".to_owned(), ..CreateTaskRequest::default() };
    assert_eq!(code(client.create(context(), &restore).await), Code::UNIMPLEMENTED);
    for id in ["running", "stopped"] {
        let start = StartRequest { id: id.to_owned(), ..StartRequest::default() };
        let error = client.start(context(), &start).await.unwrap_err().to_string();
        assert!(error.contains("has been started before"), "{error}");
    }
    let delete = DeleteRequest { id: "running".to_owned(), ..DeleteRequest::default() };
    assert_eq!(code(client.delete(context(), &delete).await), Code::FAILED_PRECONDITION);
}

#[tokio::test]
async fn an_exec_exists_from_its_addition_to_its_deletion() {
    let fixture = fixture().await;
    let client = &fixture.client;
    fixture.add("site", ProcessState::Running { pid: 1 });
    let (id, exec_id) = ("site".to_owned(), "probe".to_owned());
    let exec =
        ExecProcessRequest { id: id.clone(), exec_id: exec_id.clone(), ..ExecProcessRequest::default() };
    client.exec(context(), &exec).await.unwrap();
    assert_eq!(code(client.exec(context(), &exec).await), Code::ALREADY_EXISTS);
    let state = StateRequest { id: id.clone(), exec_id: exec_id.clone(), ..StateRequest::default() };
    let answer = client.state(context(), &state).await.unwrap();
    assert_eq!((answer.status.enum_value(), answer.pid), (Ok(Status::CREATED), 0));
    let signal = KillRequest { exec_id: exec_id.clone(), ..kill("site", libc::SIGTERM) };
    assert_eq!(code(client.kill(context(), &signal).await), Code::NOT_FOUND);
    let delete = DeleteRequest { id, exec_id, ..DeleteRequest::default() };
    client.delete(context(), &delete).await.unwrap();
    assert_eq!(code(client.state(context(), &state).await), Code::NOT_FOUND);
}

#[tokio::test]
async fn wait_returns_when_the_process_has_exited() {
    let fixture = fixture().await;
    let container = fixture.add("site", ProcessState::Running { pid: 7 });
    let wait = WaitRequest { id: "site".to_owned(), ..WaitRequest::default() };
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move { client.wait(context(), &wait).await.unwrap().exit_status });
    // An answered request behind it on the same connection: it has been received.
    let state = StateRequest { id: "site".to_owned(), ..StateRequest::default() };
    fixture.client.state(context(), &state).await.unwrap();
    assert!(!waiting.is_finished());
    container.init.set_state(stopped(7, 42));
    assert_eq!(waiting.await.unwrap(), 42);
}

#[tokio::test]
async fn a_shim_ends_without_containers_or_when_it_must() {
    let fixture = fixture().await;
    let over = || tokio::time::timeout(Duration::from_millis(50), fixture.exit.wait());
    fixture.add("site", ProcessState::Running { pid: 1 });
    fixture.client.shutdown(context(), &ShutdownRequest::default()).await.unwrap();
    assert!(over().await.is_err(), "it ended under a container");
    fixture.service.0.containers.lock().clear();
    fixture.client.shutdown(context(), &ShutdownRequest::default()).await.unwrap();
    assert!(over().await.is_ok());

    let forced = self::fixture().await;
    forced.add("site", ProcessState::Running { pid: 1 });
    let now = ShutdownRequest { now: true, ..ShutdownRequest::default() };
    forced.client.shutdown(context(), &now).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(30), forced.exit.wait()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_shim_without_containers_ends_by_itself() {
    let fixture = fixture().await;
    fixture.add("site", stopped(1, 0));
    tokio::time::sleep(2 * UNUSED_AT_FIRST_TIMEOUT).await;
    assert!(ready_now(fixture.exit.wait()).is_none(), "it ended although it has a container");
    fixture.service.0.containers.lock().clear();
    fixture.service.end_if_unused_for(UNUSED_TIMEOUT);
    fixture.exit.wait().await;
}

/// The result of what completes at once.
fn ready_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}
