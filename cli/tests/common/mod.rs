//! Sites built and served by the real `ssr`, and a client that hides nothing.

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

/// Runs `ssr` in `directory`.
pub fn ssr(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ssr")).current_dir(directory).args(args).output().unwrap()
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A site that is being served.
pub struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
    directory: tempfile::TempDir,
}

/// An answer as it came over the wire.
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
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("entry.js"), source).unwrap();
        for (name, content) in assets {
            let path: PathBuf = directory.path().join("dist").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::create_dir_all(directory.path().join("dist")).unwrap();
        let built = ssr(directory.path(), &["build", "entry.js"]);
        assert!(built.status.success(), "{}", stderr(&built));
        let mut child = Command::new(env!("CARGO_BIN_EXE_ssr"))
            .current_dir(directory.path())
            .args(["serve", "ssr.wasm", "dist", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended before it listened");
        }
        let address = line.trim().strip_prefix("listening on http://").expect(&line);
        let address = address.trim_end_matches('/').to_owned();
        Self { child, log, address, directory }
    }

    /// Sends `head` (request line and headers) and reads the answer.
    pub fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("{head}\r\nhost: example.test\r\nconnection: close\r\n");
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        stream.write_all(format!("{head}{length}\r\n").as_bytes()).unwrap();
        // A server that refuses a body may close before it has read all of it.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer");
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[split + 4..].to_vec() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "x-nothing: 1")
    }

    pub fn get_with(&self, path: &str, header: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n{header}"), b"")
    }

    /// The threads that render pages.
    pub fn render_threads(&self) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // One that has ended meanwhile has no name any more.
        let name = |thread: PathBuf| std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        threads.filter(|thread| name(thread.as_ref().unwrap().path()).trim() == "ssr-render").count()
    }

    /// Stops the server as an orchestrator would; gives its exit code and its log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let code = self.child.wait().unwrap().code();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (code, log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone where a test has stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
