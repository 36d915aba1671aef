//! `ssr serve` as a service of systemd: a socket that it was passed, and what it tells about
//! itself. The tests do systemd's part; tests/tests/systemd_service.rs has a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Server, binary, build, serve, stderr};

const SITE: &str = "export default { fetch: (request, env) => Response.json(Object.keys(env)) }";

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// systemd, for one service.
struct Systemd {
    directory: tempfile::TempDir,
    notifications: UnixDatagram,
}

impl Systemd {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        build(directory.path(), SITE);
        let notifications = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(HANG)).unwrap();
        Self { directory, notifications }
    }

    /// A shell that makes the socket descriptor 3 and becomes the server: only so it knows its
    /// process id before.
    fn command(&self, socket: impl Into<OwnedFd>, count: usize) -> Command {
        let served = serve(self.directory.path(), "ssr.wasm");
        let mut command = Command::new("sh");
        let script = format!(
            "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\" --listen 127.0.0.1:1"
        );
        command.args(["-c", &script, "sh"]).arg(binary()).args(served.get_args());
        command.current_dir(self.directory.path()).env("XDG_CACHE_HOME", self.directory.path().join("cache"));
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify")).stdin(Stdio::from(socket.into()));
        command
    }

    /// The next notification.
    fn told(&self) -> String {
        let mut buffer = [0; 512];
        let length = self.notifications.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().to_owned()
    }
}

#[test]
fn a_passed_socket_is_served_and_systemd_is_told_when() {
    let systemd = Systemd::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Waits in the socket while the site starts.
    let early = std::thread::spawn({
        let address = address.clone();
        move || {
            use std::io::{Read as _, Write as _};
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }
    });
    let server = Server::spawn(tempfile::tempdir().unwrap(), systemd.command(listener, 1));
    assert_eq!(server.address(), address, "--listen does not count");
    assert_eq!(systemd.told(), "READY=1");
    let answer = early.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let variables = server.get("/").text().to_owned();
    assert!(variables.contains("\"PATH\""), "{variables}");
    for own in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"] {
        assert!(!variables.contains(own), "{own} is not for the site: {variables}");
    }
    server.terminate();
    assert_eq!(systemd.told(), "STOPPING=1");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    systemd.notifications.set_nonblocking(true).unwrap();
    let more = systemd.notifications.recv(&mut [0; 16]).map_err(|error| error.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock), "without a watchdog there is no other word");
}

#[test]
fn the_watchdog_hears_of_a_server_that_accepts_and_not_of_one_that_hangs() {
    let systemd = Systemd::new();
    let mut command = systemd.command(TcpListener::bind("127.0.0.1:0").unwrap(), 1);
    command.env("WATCHDOG_USEC", "400000");
    let server = Server::spawn(tempfile::tempdir().unwrap(), command);
    assert_eq!(systemd.told(), "READY=1");
    for _ in 0..3 {
        assert_eq!(systemd.told(), "WATCHDOG=1");
    }
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(systemd.told(), "WATCHDOG=1");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(600), "half of the time: {took:?}");
    server.signal("STOP");
    std::thread::sleep(Duration::from_millis(500));
    systemd.notifications.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while systemd.notifications.recv(&mut [0; 16]).is_ok() {}
    systemd.notifications.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(systemd.notifications.recv(&mut [0; 16]).is_err(), "a stopped process says that it lives");
    server.signal("CONT");
    systemd.notifications.set_read_timeout(Some(HANG)).unwrap();
    assert_eq!(systemd.told(), "WATCHDOG=1");
}

#[test]
fn sockets_that_cannot_be_served_are_refused_with_the_way_out() {
    let systemd = Systemd::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(systemd.directory.path().join("http")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let sockets: [(OwnedFd, usize, &str); 5] = [
        (unix.into(), 1, "it is not of TCP"),
        (udp.into(), 1, "it is not of TCP"),
        (connected.into(), 1, "Accept=no"),
        (file.into(), 1, "no socket"),
        // The second is not there.
        (tcp.into(), 2, ""),
    ];
    for (socket, count, says) in sockets {
        let output = systemd.command(socket, count).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains("(LISTEN_FDS) cannot be used") && said.contains(says), "{says}: {said}");
    }
}

#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let systemd = Systemd::new();
    let mut command = serve(systemd.directory.path(), "ssr.wasm");
    command.args(["--listen", "127.0.0.1:0"]).envs([("LISTEN_PID", "1"), ("LISTEN_FDS", "1")]);
    let server = Server::spawn(tempfile::tempdir().unwrap(), command);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn the_units_are_ones_that_systemd_accepts() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let directory = tempfile::tempdir().unwrap();
    for kind in ["service", "socket"] {
        let text = std::fs::read_to_string(units.join(format!("ssr@.{kind}"))).unwrap();
        // The installed one may not be here.
        let text = text.replace("/usr/local/bin/ssr", "/bin/true");
        std::fs::write(directory.path().join(format!("ssr@blog.{kind}")), text).unwrap();
    }
    let unit = |kind: &str| directory.path().join(format!("ssr@blog.{kind}"));
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([unit("service"), unit("socket")])
        .output();
    let Ok(verified) = verified else {
        eprintln!("SKIPPED: there is no systemd-analyze here to verify packaging/systemd");
        return;
    };
    assert!(verified.status.success() && verified.stderr.is_empty(), "{}", stderr(&verified));
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=10"])
        .arg(unit("service"))
        .output()
        .unwrap();
    assert!(security.status.success(), "exposure above 1.0: {}", String::from_utf8_lossy(&security.stdout));
}
