//! Node, warm, in a process that answers lines of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::renderer::Renderer;

/// A process that runs `node-render.mjs`, killed when the value is dropped.
pub struct Node {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Node {
    pub fn start(entry: &Path, template: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/node-render.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([std::path::absolute(entry)?, std::path::absolute(template)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node")?;
        let stdin = child.stdin.take().context("node's stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("node's stdout")?);
        Ok(Self { child, stdin, stdout })
    }
}

impl Renderer for Node {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        writeln!(self.stdin, "{}", json!({ "page": page, "times": times }))?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("node ended, or sent no JSON")?;
        let microseconds = answer["microseconds"].as_f64().context("node's answer")?;
        let size = answer["size"].as_u64().context("node's answer")?;
        Ok((microseconds, usize::try_from(size)?))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has no state to save; the wait reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
