//! Runs the OCI runtime as a child of the shim, which reaps it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ::runc::error::Error;
use ::runc::{Command, Io, Spawner};
use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::environment;
use crate::helper::command::StdioFiles;
use crate::helper::remove;
use crate::io::stdio;
use crate::reaper::Reaper;

/// How long the end of the runtime's own output may take after the runtime has ended:
/// a hook can leave a process with it.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs commands for the container of a bundle.
#[derive(Debug)]
pub struct Launcher {
    pub bundle: PathBuf,
    pub reaper: Reaper,
    /// How long a command may take.
    pub timeout: Duration,
}

#[async_trait]
impl Spawner for Launcher {
    async fn execute(&self, command: Command) -> ::runc::Result<(ExitStatus, u32, String, String)> {
        let mut command = command.into_std();
        for name in environment::TEMPORARY {
            command.env_remove(name);
        }
        // As the helper does: whoever deletes the container waits for this process.
        let lock =
            remove::lock(&self.bundle).map_err(|error| Error::ProcessSpawnFailed(io::Error::other(error)))?;
        let (lock_fd, shim) = (lock.as_raw_fd(), std::process::id());
        // SAFETY: calls prctl, getppid and fcntl only, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                // Ends with the shim, whose container is then deleted.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                    return Err(io::Error::last_os_error());
                }
                if u32::try_from(libc::getppid()) != Ok(shim) {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                match libc::fcntl(lock_fd, libc::F_SETFD, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let mut output = None;
        let spawned = self.reaper.spawn(|| {
            let mut child = command.spawn()?;
            output = Some((child.stdout.take(), child.stderr.take()));
            Ok(child.id())
        });
        let (pid, exit) = spawned.map_err(Error::ProcessSpawnFailed)?;
        // This process's copies of what the container's process has.
        drop((command, lock));
        let (stdout, stderr) = output.unwrap_or_default();
        let (stdout, stderr) = (tokio::spawn(read(stdout)), tokio::spawn(read(stderr)));
        let exit = match tokio::time::timeout(self.timeout, exit).await {
            Ok(exit) => exit.map_err(|error| Error::InvalidCommand(io::Error::other(error)))?,
            Err(elapsed) => {
                let _ = self.reaper.signal(pid, libc::SIGKILL);
                return Err(Error::CommandTimeout(elapsed));
            }
        };
        let text = |read: tokio::task::JoinHandle<String>| async {
            let abort = read.abort_handle();
            let text = tokio::time::timeout(OUTPUT_TIMEOUT, read).await;
            abort.abort();
            text.ok().and_then(Result::ok).unwrap_or_default()
        };
        let status = ExitStatus::from_raw(i32::try_from(exit.code).unwrap_or(i32::MAX >> 8) << 8);
        Ok((status, pid.unsigned_abs(), text(stdout).await, text(stderr).await))
    }
}

async fn read(output: Option<impl Into<std::os::fd::OwnedFd>>) -> String {
    let Some(output) = output else { return String::new() };
    let mut bytes = Vec::new();
    if let Ok(mut output) = pipe::Receiver::from_owned_fd(output.into()) {
        let _ = output.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Standard input, output and error of the container's process, which inherits them.
#[derive(Debug)]
pub struct StdioOfProcess(pub StdioFiles);

#[async_trait]
impl Io for StdioOfProcess {
    async fn set(&self, command: &mut Command) -> io::Result<()> {
        // Prepared so that none of them blocks.
        let [stdin, stdout, stderr] = stdio::open_files(&self.0).map_err(io::Error::other)?;
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        Ok(())
    }

    async fn close_after_start(&self) {}
}
