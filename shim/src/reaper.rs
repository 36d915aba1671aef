//! Reaps every child that ends: helpers, compilers, containers' processes, and their
//! orphans, which become children of this process because it is a subreaper.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::signals;

/// How a process ended.
#[derive(Debug, Clone, Default)]
pub struct Exit {
    /// Its exit code, or 128 plus the signal's number.
    pub code: u32,
    /// When it was reaped.
    pub at: Timestamp,
}

/// Reaps children and reports the exits of those that somebody waits for.
#[derive(Debug, Clone, Default)]
pub struct Reaper(Arc<Mutex<Children>>);

#[derive(Debug, Default)]
struct Children {
    awaited: HashMap<i32, oneshot::Sender<Exit>>,
    /// Exits that nobody has waited for yet. Kept while a helper runs, whose answer may
    /// name one of them.
    unclaimed: HashMap<i32, Exit>,
    remembering: usize,
}

/// While it exists, the exits of unknown children are remembered.
pub struct Remember(Reaper);

impl Drop for Remember {
    fn drop(&mut self) {
        let mut children = self.0.0.lock();
        children.remembering -= 1;
        if children.remembering == 0 {
            children.unclaimed.clear();
        }
    }
}

impl Reaper {
    /// Starts reaping.
    pub fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut child_ended = signal(SignalKind::child())?;
        let reaping = reaper.clone();
        tokio::spawn(async move {
            while child_ended.recv().await.is_some() {
                reaping.reap();
            }
        });
        Ok(reaper)
    }

    /// Hold it from before a process is made until [`Self::wait`] has been called for it.
    pub fn remember(&self) -> Remember {
        self.0.lock().remembering += 1;
        Remember(self.clone())
    }

    /// Calls `spawn`, which starts a child and returns its pid, and returns that pid with a
    /// receiver of its exit.
    pub fn spawn(
        &self,
        spawn: impl FnOnce() -> io::Result<u32>,
    ) -> io::Result<(i32, oneshot::Receiver<Exit>)> {
        // Held meanwhile, so that the child is not reaped before it is awaited.
        let mut children = self.0.lock();
        let pid = i32::try_from(spawn()?).map_err(io::Error::other)?;
        let (sender, receiver) = oneshot::channel();
        children.awaited.insert(pid, sender);
        Ok((pid, receiver))
    }

    /// Sends a signal to a child that is waited for. `false` if it has ended: its pid may be
    /// another process's by now. Nothing is reaped meanwhile.
    pub fn signal(&self, pid: i32, signal: i32) -> anyhow::Result<bool> {
        match self.0.lock().awaited.contains_key(&pid) {
            true => signals::send(pid, signal),
            false => Ok(false),
        }
    }

    /// A receiver of the exit of a process that a helper has left to this one.
    pub fn wait(&self, pid: i32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut children = self.0.lock();
        match children.unclaimed.remove(&pid) {
            // Cannot fail: the receiver exists.
            Some(exit) => drop(sender.send(exit)),
            None => drop(children.awaited.insert(pid, sender)),
        }
        receiver
    }

    fn reap(&self) {
        loop {
            let mut children = self.0.lock();
            let (pid, code) = match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                _ => return,
            };
            let exit = Exit { code: code.unsigned_abs(), at: Timestamp::now() };
            match children.awaited.remove(&pid) {
                // Fails if the receiver has been dropped.
                Some(sender) => drop(sender.send(exit)),
                None if children.remembering > 0 => drop(children.unclaimed.insert(pid, exit)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn exits_of_awaited_children_are_reported() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::start().unwrap();
            let (_, exit) = reaper.spawn(|| shell("exit 3").spawn().map(|child| child.id())).unwrap();
            assert_eq!(exit.await.unwrap().code, 3);
            let (_, exit) = reaper.spawn(|| shell("kill -9 $$").spawn().map(|child| child.id())).unwrap();
            assert_eq!(exit.await.unwrap().code, 137);

            // A child that ends before anybody waits for it, as a container's process may.
            let _remember = reaper.remember();
            let pid = i32::try_from(shell("exit 5").spawn().unwrap().id()).unwrap();
            let (_, later) = reaper.spawn(|| shell("exit 0").spawn().map(|child| child.id())).unwrap();
            later.await.unwrap();
            assert_eq!(reaper.wait(pid).await.unwrap().code, 5);
        });
    }

    #[test]
    fn a_process_that_was_reaped_gets_no_signal() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::start().unwrap();
            let (pid, exit) =
                reaper.spawn(|| shell("exec sleep 60").spawn().map(|child| child.id())).unwrap();
            assert!(reaper.signal(pid, libc::SIGTERM).unwrap());
            assert_eq!(exit.await.unwrap().code, 128 + 15);
            assert!(!reaper.signal(pid, libc::SIGTERM).unwrap());
            // Not even if the pid is a running process's.
            assert!(!reaper.signal(i32::try_from(std::process::id()).unwrap(), libc::SIGKILL).unwrap());
        });
    }

    fn shell(line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        command
    }
}
