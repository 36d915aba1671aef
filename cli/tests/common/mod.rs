//! Builds and serves sites with the real `ssr`; a client that shows raw answers.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by tests that each use a part"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The `ssr` under test: the one that `SSR_UNDER_TEST` names, such as one that carries engines, or
/// else cargo's.
pub fn binary() -> PathBuf {
    std::env::var_os("SSR_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_ssr").into(), PathBuf::from)
}

/// Runs `ssr` in `directory`.
pub fn ssr(directory: &Path, args: &[&str]) -> Output {
    Command::new(binary())
        .current_dir(directory)
        .env("XDG_CACHE_HOME", directory.join("cache"))
        .args(args)
        .output()
        .unwrap()
}

/// `ssr serve` of a module or an archive in `directory`, with its cache there.
pub fn serve(directory: &Path, site: &str) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(directory).env("XDG_CACHE_HOME", directory.join("cache")).args(["serve", site]);
    command
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that must not fail wrote to standard output.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Builds `directory`/entry.js into ssr.wasm.
pub fn build(directory: &Path, source: &str) {
    std::fs::write(directory.join("entry.js"), source).unwrap();
    let built = ssr(directory, &["build", "entry.js"]);
    assert!(built.status.success(), "{}", stderr(&built));
}

/// What a bundle answers in Node when it is asked for /cases.
pub fn in_node(bundle: &str) -> serde_json::Map<String, serde_json::Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("entry.mjs");
    std::fs::write(&file, bundle).unwrap();
    // Some cases leave timers and ports behind, which would keep Node alive.
    let script = format!(
        "const site = (await import({file:?})).default;
         const answer = await site.fetch({{ url: 'http://h/cases' }});
         process.stdout.write(await answer.text(), () => process.exit());"
    );
    let output = Command::new("node").args(["--input-type=module", "-e", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("node: {error}: {said}"))
}

/// A site that is being served.
pub struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
    directory: tempfile::TempDir,
}

/// A response as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Server {
    /// Builds `source` and serves it beside `assets`, with `flags`.
    pub fn start(source: &str, assets: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::listen("127.0.0.1:0", source, assets, flags)
    }

    /// The same at an address.
    pub fn start_at(address: &str, source: &str) -> Self {
        Self::listen(address, source, &[], &[])
    }

    fn listen(address: &str, source: &str, assets: &[(&str, &str)], flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in assets {
            let path: PathBuf = directory.path().join("dist").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::create_dir_all(directory.path().join("dist")).unwrap();
        build(directory.path(), source);
        let mut command = serve(directory.path(), "ssr.wasm");
        command.args(["dist", "--listen", address]).args(flags);
        Self::spawn(directory, command)
    }

    /// Starts a command that serves, and waits until it listens. The directory lives as long.
    pub fn spawn(directory: tempfile::TempDir, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server exited before it listened");
        }
        let address = line.trim().strip_prefix("listening on http://").expect(&line);
        let address = address.trim_end_matches('/').to_owned();
        Self { child, log, address, directory }
    }

    /// The directory that it was started in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until it has stopped, and returns the directory.
    pub fn into_directory(mut self) -> tempfile::TempDir {
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    fn ask(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("{head}\r\nhost: example.test\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// Requests a page and returns when `part` of it has arrived. The rest can be
    /// read from the connection.
    pub fn get_until(&self, path: &str, part: &str) -> TcpStream {
        let mut stream = self.ask(&format!("GET {path} HTTP/1.1"));
        let mut seen = Vec::new();
        while !seen.windows(part.len()).any(|window| window == part.as_bytes()) {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "no {part:?} in {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        stream
    }

    /// Sends `head` (request line and headers) and reads the response.
    pub fn send(&self, head: &str, body: &[u8]) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("\r\ncontent-length: {}", body.len()) };
        let mut stream = self.ask(&format!("{head}{length}"));
        // A server that refuses a body may close the connection before it has read it all.
        let _ = stream.write_all(body);
        answer(stream)
    }

    /// Sends `request` as it stands, to its last byte, and reads the response.
    pub fn send_raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The directory of assets.
    pub fn assets(&self) -> PathBuf {
        self.directory.path().join("dist")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "x-nothing: 1")
    }

    pub fn get_with(&self, path: &str, header: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n{header}"), b"")
    }

    /// Number of threads that render pages.
    pub fn render_threads(&self) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // A thread that has ended in the meantime has no name.
        let name = |thread: PathBuf| std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        threads.filter(|thread| name(thread.as_ref().unwrap().path()).trim() == "ssr-render").count()
    }

    /// What the process has in memory, in kB: its own pages, and its share of those that others
    /// have mapped, too.
    pub fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Stops the server as an orchestrator does; returns its exit code and log.
    pub fn stop(self) -> (Option<i32>, String) {
        self.terminate();
        self.wait()
    }

    /// Waits until it has stopped; returns its exit code and log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (code, log)
    }
}

/// Reads a response to its end.
fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a response head");
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[split + 4..].to_vec() }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the test has stopped it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
