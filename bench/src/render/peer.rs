//! A renderer in a process of its own, which answers lines of JSON: Node, warm, and others.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::renderer::{Renderer, request};

/// The process, killed when the value is dropped.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Node, which runs `node-render.mjs`.
    pub fn node(entry: &Path, template: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/node-render.mjs");
        let mut node = Command::new("node");
        node.arg(script).args([std::path::absolute(entry)?, std::path::absolute(template)?]);
        Self::start(node)
    }

    /// Starts any other.
    pub fn start(mut command: Command) -> Result<Self> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.with_context(|| command.get_program().display().to_string())?;
        let stdin = child.stdin.take().context("the peer's stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("the peer's stdout")?);
        Ok(Self { child, stdin, stdout })
    }
}

impl Renderer for Peer {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let mut encoded = String::new();
        request(page).iter().try_for_each(|byte| write!(encoded, "{byte:02x}"))?;
        writeln!(self.stdin, "{}", json!({ "page": page, "times": times, "request": encoded }))?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("the peer ended, or sent no JSON")?;
        let microseconds = answer["microseconds"].as_f64().context("the peer's answer")?;
        let size = answer["size"].as_u64().context("the peer's answer")?;
        Ok((microseconds, usize::try_from(size)?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has no state to save; the wait reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
