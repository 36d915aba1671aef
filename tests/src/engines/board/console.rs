//! The serial console of a board: scripts go in, what they print comes out.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};

use crate::shell::Output;

/// How much longer than a script its answer may take.
const ANSWER: Duration = Duration::from_secs(120);

/// A line of the script's base64: a terminal takes no more than 4096 bytes at once.
const LINE: usize = 1000;

pub(super) struct Console {
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Console {
    pub(super) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { input, lines }
    }

    /// Waits for the session. What came instead is the error.
    pub(super) fn wait_until_ready(&self, limit: Duration) -> Result<(), String> {
        self.until("@ ready", Instant::now() + limit).map(drop)
    }

    /// Runs a script for the board's shell, which is killed after a limit.
    pub(super) fn run(&mut self, script: &str, limit: Duration) -> Result<Output, String> {
        let encoded = Base64::encode_string(script.as_bytes());
        let mut request = format!("@ {}\n", limit.as_secs());
        for line in encoded.as_bytes().chunks(LINE) {
            request.extend(line.iter().map(|byte| char::from(*byte)));
            request.push('\n');
        }
        request.push_str(".\n");
        self.input.write_all(request.as_bytes()).map_err(|error| format!("the console: {error}"))?;
        self.input.flush().map_err(|error| format!("the console: {error}"))?;
        let deadline = Instant::now() + limit + ANSWER;
        let code = loop {
            let line = self.line(deadline)?;
            if let Some(code) = line.strip_prefix("@ ").and_then(|rest| rest.parse().ok()) {
                break code;
            }
        };
        let stdout = text(&self.until("@", deadline)?)?;
        let stderr = text(&self.until("@ end", deadline)?)?;
        Ok(Output { code, stdout, stderr })
    }

    /// The lines before a line.
    fn until(&self, end: &str, deadline: Instant) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            match self.line(deadline) {
                Ok(line) if line == end => return Ok(lines),
                Ok(line) => lines.push(line),
                Err(error) => return Err(format!("{error}, but:\n{}", lines.join("\n"))),
            }
        }
    }

    fn line(&self, deadline: Instant) -> Result<String, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => "no answer on the console".to_owned(),
            mpsc::RecvTimeoutError::Disconnected => "the board has ended".to_owned(),
        })
    }
}

fn text(lines: &[String]) -> Result<String, String> {
    let encoded = lines.concat();
    let bytes = Base64::decode_vec(&encoded).map_err(|error| format!("{error}: {encoded}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
