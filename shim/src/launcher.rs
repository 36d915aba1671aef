//! Starts the runtime for one step and brings its answer; see [`crate::runtime`].

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::reaper::Reaper;
use crate::runtime::{Answer, COMMAND, Step};

/// No step takes longer on a working node, hooks included; what does is ended.
const LIMIT: Duration = Duration::from_secs(120);

/// Inherited descriptors get numbers from here on: the first ones are the runtime's.
const INHERITED: RawFd = 10;

/// Takes the step and returns its answer: a process's number, or 0.
pub async fn take(step: &Step, reaper: &Reaper) -> Result<i32> {
    take_with(step, None, reaper).await
}

/// The same, for a step that makes a process, which `socket` is left to; see
/// [`crate::code_provider`].
pub async fn take_with(step: &Step, socket: Option<OwnedFd>, reaper: &Reaper) -> Result<i32> {
    let input = serde_json::to_vec(step)?;
    let mut child = None;
    // Open beyond exec: until the end of this function's first part, in which this
    // thread starts nothing else.
    let socket = socket.map(|socket| inheritable(&socket)).transpose()?;
    let exit = reaper.spawn(|| {
        let mut runtime = Command::new("/proc/self/exe");
        runtime
            .arg(COMMAND)
            .arg(std::process::id().to_string())
            .args(socket.iter().map(|socket| socket.as_raw_fd().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let spawned = runtime.spawn()?;
        let pid = spawned.id();
        child = Some(spawned);
        Ok(pid)
    });
    drop(socket);
    let (pid, exit) = exit.context("cannot start the runtime")?;
    let child = child.context("cannot start the runtime")?;
    let (mut stdin, stdout) = (child.stdin.context("no pipe")?, child.stdout.context("no pipe")?);
    // Shorter than a pipe, so this does not wait.
    stdin.write_all(&input)?;
    drop(stdin);
    let finish = async {
        let mut answer = Vec::new();
        pipe::Receiver::from_owned_fd(stdout.into())?.read_to_end(&mut answer).await?;
        let ended = exit.await?;
        match serde_json::from_slice::<Answer>(&answer) {
            Ok(answer) => answer.map_err(|message| anyhow!(message)),
            Err(_) => bail!("the runtime ended without an answer (exit code {})", ended.code),
        }
    };
    match tokio::time::timeout(LIMIT, finish).await {
        Ok(result) => result,
        Err(_) => {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            bail!("the runtime did not finish within {} s and was ended", LIMIT.as_secs())
        }
    }
}

fn inheritable(socket: &OwnedFd) -> Result<OwnedFd> {
    let copy = fcntl(socket.as_raw_fd(), FcntlArg::F_DUPFD(INHERITED))?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
