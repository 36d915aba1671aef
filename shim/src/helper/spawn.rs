//! Starts the helper for one command and returns its answer.

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::command::{Answer, COMMAND, Done, HelperCommand};
use crate::reaper::Reaper;
use crate::this_program;

/// No command takes longer on a working node, hooks included. A helper that does is
/// killed.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Lowest number of descriptors that the helper inherits; it uses the first ones itself.
const MIN_INHERITED_FD: RawFd = 10;

/// Runs the command and returns its answer.
pub async fn run(command: &HelperCommand, reaper: &Reaper) -> Result<Done> {
    run_with_socket(command, None, reaper).await
}

/// The same for a command that makes a process, which inherits `socket`; see
/// [`crate::compile`].
pub async fn run_with_socket(
    command: &HelperCommand,
    socket: Option<OwnedFd>,
    reaper: &Reaper,
) -> Result<Done> {
    let input = serde_json::to_vec(command)?;
    let mut child = None;
    // Inheritable until the helper is spawned; this thread spawns nothing else meanwhile.
    let socket = socket.map(|socket| inheritable(&socket)).transpose()?;
    let exit = reaper.spawn(|| {
        let mut helper = this_program();
        helper
            .arg(COMMAND)
            .arg(std::process::id().to_string())
            .args(socket.iter().map(|socket| socket.as_raw_fd().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let spawned = helper.spawn()?;
        let pid = spawned.id();
        child = Some(spawned);
        Ok(pid)
    });
    drop(socket);
    let (pid, exit) = exit.context("cannot start the helper")?;
    let child = child.context("cannot start the helper")?;
    let (mut stdin, stdout) = (child.stdin.context("no pipe")?, child.stdout.context("no pipe")?);
    // Rarely longer than a pipe's buffer, and the helper reads at once.
    stdin.write_all(&input)?;
    drop(stdin);
    let finish = async {
        let mut answer = Vec::new();
        pipe::Receiver::from_owned_fd(stdout.into())?.read_to_end(&mut answer).await?;
        let ended = exit.await?;
        match serde_json::from_slice::<Answer>(&answer) {
            Ok(answer) => answer.map_err(|message| anyhow!(message)),
            Err(_) => bail!("the helper ended without an answer (exit code {})", ended.code),
        }
    };
    match tokio::time::timeout(TIMEOUT, finish).await {
        Ok(result) => result,
        Err(_) => {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            bail!("the helper did not finish within {} s and was killed", TIMEOUT.as_secs())
        }
    }
}

fn inheritable(socket: &OwnedFd) -> Result<OwnedFd> {
    let copy = fcntl(socket.as_raw_fd(), FcntlArg::F_DUPFD(MIN_INHERITED_FD))?;
    // SAFETY: the kernel has just opened it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
