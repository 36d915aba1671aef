//! Runs commands to completion within a time limit.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The limit for whatever must not hang. It is generous because the machine may be slow
/// and shared: it tells hanging from working, not slow from fast.
pub const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// The limit for a site's first answer on a node, for which its module is compiled: in an
/// emulated machine, minutes.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(400);

/// The limit for what is already under way, such as cleaning up.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a command printed and how it exited.
#[derive(Debug)]
pub struct Output {
    /// The exit code, or 128 plus the signal that killed it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The output of a command that must succeed.
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to completion, without input.
pub fn run(command: &mut Command) -> Output {
    run_with_input(command, "", || true)
}

/// Runs a command to completion, without input, within a limit of its own.
pub fn run_within(command: &mut Command, limit: Duration) -> Output {
    complete(command, "", || true, limit)
}

/// Runs a command to completion. Writes `input` to its standard input and closes it as
/// soon as `ready` holds.
pub fn run_with_input(command: &mut Command, input: &str, ready: impl Fn() -> bool) -> Output {
    complete(command, input, ready, HANG_TIMEOUT)
}

fn complete(command: &mut Command, input: &str, ready: impl Fn() -> bool, limit: Duration) -> Output {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let stdout = collect(child.stdout.take().expect("a pipe"));
    let stderr = collect(child.stderr.take().expect("a pipe"));
    let mut stdin = child.stdin.take().expect("a pipe");
    poll(|| (ready() || child.try_wait().expect("a child").is_some()).then_some(()));
    // A command that does not read its input may already have exited.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let status = wait_for(&mut child, limit);
    let (stdout, stderr) = (stdout.join().expect("text"), stderr.join().expect("text"));
    let Some(status) = status else {
        panic!("{shown} hangs\n{stdout}{stderr}");
    };
    Output { code: code(status), stdout, stderr }
}

/// A command on a terminal of the given size. Each line that it prints ends with a
/// carriage return and a line feed.
pub fn on_terminal(command: &Command, rows: u16, columns: u16) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted =
        words.map(|word| format!("'{}'", word.to_str().expect("ordinary words").replace('\'', r"'\''")));
    let line = quoted.collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty rows {rows} cols {columns}; exec {line}"), "/dev/null"]);
    script
}

/// Sends a process a signal.
pub fn signal(pid: u32, signal: &str) {
    run(Command::new("kill").args(["-s", signal, &pid.to_string()])).success();
}

/// Waits for a background command, which must exit, and returns its exit code.
pub fn wait(child: &mut Child) -> i32 {
    code(wait_for(child, HANG_TIMEOUT).expect("the command exits"))
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let status = poll_for(limit, || child.try_wait().expect("a child to wait for"));
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// The exit code as a shell reports it.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(-1)
}

/// Calls `ask` until it returns a value. `None` after [`HANG_TIMEOUT`].
pub fn poll<T>(ask: impl FnMut() -> Option<T>) -> Option<T> {
    poll_for(HANG_TIMEOUT, ask)
}

/// Calls `ask` until it returns a value. `None` after `limit`.
pub fn poll_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
