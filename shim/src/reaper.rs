//! Collects every child that ends: the runtime, the containers' processes, and
//! their orphans, which become children of this process (it is a subreaper).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended.
#[derive(Debug, Clone, Default)]
pub struct Exit {
    /// Its exit code, or 128 plus the signal's number.
    pub code: u32,
    /// When that was noticed.
    pub at: Timestamp,
}

/// Collects children, and tells of those that somebody waits for.
#[derive(Clone, Default)]
pub struct Reaper(Arc<Mutex<Children>>);

#[derive(Default)]
struct Children {
    awaited: HashMap<i32, oneshot::Sender<Exit>>,
    /// Ended before anybody waited. Kept while a runtime lives, whose answer may
    /// name one of them.
    unclaimed: HashMap<i32, Exit>,
    runtimes: usize,
}

/// While it lives, the exits of unknown children are remembered.
pub struct Remember(Reaper);

impl Drop for Remember {
    fn drop(&mut self) {
        let mut children = self.0.lock();
        children.runtimes -= 1;
        if children.runtimes == 0 {
            children.unclaimed.clear();
        }
    }
}

impl Reaper {
    /// Starts collecting.
    pub fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut child_ended = signal(SignalKind::child())?;
        let collecting = reaper.clone();
        tokio::spawn(async move {
            while child_ended.recv().await.is_some() {
                collecting.collect();
            }
        });
        Ok(reaper)
    }

    /// To be held from before a process is made until [`Self::wait`] was called for it.
    pub fn remember(&self) -> Remember {
        self.lock().runtimes += 1;
        Remember(self.clone())
    }

    /// Calls `spawn`, which starts a child and returns its number, and waits for that child.
    pub fn spawn(
        &self,
        spawn: impl FnOnce() -> io::Result<u32>,
    ) -> io::Result<(i32, oneshot::Receiver<Exit>)> {
        // Held meanwhile: the child cannot be collected before it is awaited.
        let mut children = self.lock();
        let pid = i32::try_from(spawn()?).map_err(io::Error::other)?;
        let (sender, receiver) = oneshot::channel();
        children.awaited.insert(pid, sender);
        Ok((pid, receiver))
    }

    /// Waits for a process that the runtime has left to this one.
    pub fn wait(&self, pid: i32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut children = self.lock();
        match children.unclaimed.remove(&pid) {
            // Its receiver is at hand, so this cannot fail.
            Some(exit) => drop(sender.send(exit)),
            None => drop(children.awaited.insert(pid, sender)),
        }
        receiver
    }

    fn collect(&self) {
        loop {
            let mut children = self.lock();
            let (pid, code) = match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                _ => return,
            };
            let exit = Exit { code: code.unsigned_abs(), at: Timestamp::now() };
            match children.awaited.remove(&pid) {
                // Nobody may be interested any more.
                Some(sender) => drop(sender.send(exit)),
                None if children.runtimes > 0 => drop(children.unclaimed.insert(pid, exit)),
                None => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn children_are_collected_and_those_that_are_awaited_told_of() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::start().unwrap();
            let (_, exit) = reaper.spawn(|| shell("exit 3").spawn().map(|child| child.id())).unwrap();
            assert_eq!(exit.await.unwrap().code, 3);
            let (_, exit) = reaper.spawn(|| shell("kill -9 $$").spawn().map(|child| child.id())).unwrap();
            assert_eq!(exit.await.unwrap().code, 137);

            // One that ends before anybody waits for it, as a container's process may.
            let _remember = reaper.remember();
            let pid = i32::try_from(shell("exit 5").spawn().unwrap().id()).unwrap();
            let (_, later) = reaper.spawn(|| shell("exit 0").spawn().map(|child| child.id())).unwrap();
            later.await.unwrap();
            assert_eq!(reaper.wait(pid).await.unwrap().code, 5);
        });
    }

    fn shell(line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        command
    }
}
