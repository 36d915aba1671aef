//! Commands, run to their end within a bound.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs: the machine may be slow and
/// shared, so only hanging is told apart from working.
pub const HANG: Duration = Duration::from_secs(60);

/// What follows from something else comes within this time.
pub const SOON: Duration = Duration::from_secs(30);

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The output of a command that had to succeed.
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end, without input.
pub fn run(command: &mut Command) -> Output {
    run_with_input(command, "", || true)
}

/// Runs a command to its end, with a text on its standard input as soon as it is
/// ready for one.
pub fn run_with_input(command: &mut Command, input: &str, ready: impl Fn() -> bool) -> Output {
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
    // Who does not read its input may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let status = wait(&mut child, HANG);
    let (stdout, stderr) = (stdout.join().expect("text"), stderr.join().expect("text"));
    let Some(status) = status else {
        panic!("{shown} hangs\n{stdout}{stderr}");
    };
    Output { code: code(status), stdout, stderr }
}

/// A command on a terminal of so many rows and columns; what it writes has a
/// carriage return at each line's end.
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

/// The exit code of a command in the background, which must end.
pub fn end(child: &mut Child) -> i32 {
    code(wait(child, HANG).expect("the command's end"))
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let status = poll_for(limit, || child.try_wait().expect("a child to wait for"));
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// The code that a shell would show.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(-1)
}

/// Asks until there is an answer, or gives up when it must hang.
pub fn poll<T>(ask: impl FnMut() -> Option<T>) -> Option<T> {
    poll_for(HANG, ask)
}

/// Asks until there is an answer, or gives up after the given time.
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

/// The repository's root.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a parent").to_owned()
}

/// The directory of the two binaries under test.
pub fn binaries() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let release = target.join("release");
    for name in ["ssr", "containerd-shim-ssr-v1"] {
        assert!(
            release.join(name).is_file(),
            "{} is missing: run `make build` first",
            release.join(name).display()
        );
    }
    release
}

/// Where containerd looks for its tools and for shims: the one under test comes
/// first.
pub fn search_path() -> OsString {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/local/sbin:/usr/sbin:/sbin", binaries().display()).into()
}

/// The CLI with the given arguments.
pub fn ssr<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binaries().join("ssr"));
    command.args(args).env_remove("SOURCE_DATE_EPOCH");
    command
}
