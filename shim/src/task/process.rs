//! A process of a container: its init, or one that exec has added.

use anyhow::Result;
use containerd_shim::api::Status;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::compile::provider::Provider;
use crate::helper::command::ProcessStdio;
use crate::io::stdio::{OpenStdio, PreparedStdio, StdioUris};
use crate::io::terminal::{ConsoleSocket, Terminal};
use crate::reaper::Exit;

/// Exit code of a process that could not be started, as of one that was killed.
pub const FAILED_TO_START: u32 = 137;

/// Exit code of a process that was removed before anybody tried to start it, as runc's shim
/// has it.
pub const NEVER_STARTED: u32 = 0;

/// The state of a process.
#[derive(Debug, Clone, Default)]
pub enum ProcessState {
    /// An exec that has not been started.
    #[default]
    Added,
    /// It exists and waits to be started.
    Created {
        pid: i32,
    },
    Running {
        pid: i32,
    },
    Stopped {
        pid: i32,
        exit: Exit,
    },
}

impl ProcessState {
    /// Its pid, also after its end; 0 if it never had one.
    pub fn pid(&self) -> i32 {
        match self {
            Self::Added => 0,
            Self::Created { pid } | Self::Running { pid } | Self::Stopped { pid, .. } => *pid,
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Self::Added | Self::Created { .. } => Status::CREATED,
            Self::Running { .. } => Status::RUNNING,
            Self::Stopped { .. } => Status::STOPPED,
        }
    }

    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Stopped { exit, .. } => Some(exit),
            _ => None,
        }
    }
}

/// A process and what the shim keeps for it.
pub struct Process {
    pub stdio: StdioUris,
    state: watch::Sender<ProcessState>,
    io: Mutex<Io>,
    /// Ends with it.
    provider: Mutex<Option<Provider>>,
    /// Held while the process is started and while its exit is published, so that the exit
    /// is not published before the start.
    pub transition: tokio::sync::Mutex<()>,
}

#[derive(Default)]
enum Io {
    #[default]
    None,
    Files(OpenStdio),
    Terminal(Terminal),
}

/// Stdio that is prepared for a process and not attached yet.
pub enum PreparedIo {
    Files(PreparedStdio),
    Terminal(ConsoleSocket),
}

impl PreparedIo {
    /// What the helper opens.
    pub fn for_helper(&mut self) -> ProcessStdio {
        match self {
            Self::Files(prepared) => ProcessStdio::Files(std::mem::take(&mut prepared.files)),
            Self::Terminal(socket) => ProcessStdio::Terminal { socket: socket.short_path() },
        }
    }
}

impl Process {
    pub fn new(stdio: StdioUris) -> Self {
        let (state, _) = watch::channel(ProcessState::default());
        Self {
            stdio,
            state,
            io: Mutex::default(),
            provider: Mutex::default(),
            transition: tokio::sync::Mutex::default(),
        }
    }

    pub fn state(&self) -> ProcessState {
        self.state.borrow().clone()
    }

    pub fn set_state(&self, state: ProcessState) {
        if state.exit().is_some() {
            drop(self.provider.lock().take());
        }
        self.state.send_replace(state);
    }

    /// Keeps what provides its module's code, until it ends.
    pub fn keep(&self, provider: Option<Provider>) {
        *self.provider.lock() = provider;
    }

    /// Ends it before it has been started; does nothing if it has been.
    pub fn end_unstarted(&self, code: u32) {
        let exit = Exit { code, at: Timestamp::now() };
        self.state.send_if_modified(|state| {
            let unstarted = matches!(state, ProcessState::Added);
            if unstarted {
                *state = ProcessState::Stopped { pid: 0, exit };
            }
            unstarted
        });
    }

    /// Waits for its exit.
    pub async fn wait(&self) -> Exit {
        let mut state = self.state.subscribe();
        loop {
            if let Some(exit) = state.borrow_and_update().exit() {
                return exit.clone();
            }
            // The sender lives as long as `self`.
            let _ = state.changed().await;
        }
    }

    /// Takes over the shim's ends of the stdio that the process now has.
    pub fn attach(&self, prepared: PreparedIo) -> Result<()> {
        *self.io.lock() = match prepared {
            PreparedIo::Files(prepared) => Io::Files(prepared.open()?),
            PreparedIo::Terminal(socket) => {
                let terminal = socket.receive()?;
                terminal.copy(&self.stdio)?;
                Io::Terminal(terminal)
            }
        };
        Ok(())
    }

    /// Closes its input.
    pub fn close_input(&self) {
        match &mut *self.io.lock() {
            Io::Files(open) => open.close_input(),
            Io::Terminal(terminal) => terminal.close_input(),
            Io::None => {}
        }
    }

    /// Sets the size of its terminal; does nothing if it has none.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        match &*self.io.lock() {
            Io::Terminal(terminal) => terminal.resize(width, height),
            _ => Ok(()),
        }
    }

    /// Delivers the rest of its output and closes its stdio.
    pub async fn detach(&self) {
        let io = std::mem::take(&mut *self.io.lock());
        if let Io::Terminal(terminal) = io {
            terminal.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: u32) -> Exit {
        Exit { code, ..Exit::default() }
    }

    #[test]
    fn every_state_has_the_status_pid_and_exit_that_containerd_is_told() {
        let states = [
            (ProcessState::Added, Status::CREATED, 0, None),
            (ProcessState::Created { pid: 7 }, Status::CREATED, 7, None),
            (ProcessState::Running { pid: 7 }, Status::RUNNING, 7, None),
            (ProcessState::Stopped { pid: 7, exit: exit(3) }, Status::STOPPED, 7, Some(3)),
        ];
        for (state, status, pid, code) in states {
            assert_eq!((state.status(), state.pid()), (status, pid), "{state:?}");
            assert_eq!(state.exit().map(|exit| exit.code), code, "{state:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_process_that_is_never_started_ends_for_those_who_wait() {
        let process = std::sync::Arc::new(Process::new(StdioUris::default()));
        let waiting = {
            let process = std::sync::Arc::clone(&process);
            tokio::spawn(async move { process.wait().await.code })
        };
        tokio::task::yield_now().await;
        process.end_unstarted(FAILED_TO_START);
        process.end_unstarted(NEVER_STARTED);
        assert_eq!(waiting.await.unwrap(), FAILED_TO_START);
        let running = Process::new(StdioUris::default());
        running.set_state(ProcessState::Running { pid: 7 });
        running.end_unstarted(NEVER_STARTED);
        assert!(running.state().exit().is_none());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn everybody_who_waits_gets_the_exit_before_and_after_it() {
        let process = std::sync::Arc::new(Process::new(StdioUris::default()));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let process = std::sync::Arc::clone(&process);
                tokio::spawn(async move { process.wait().await.code })
            })
            .collect();
        for state in [ProcessState::Created { pid: 7 }, ProcessState::Running { pid: 7 }] {
            process.set_state(state);
            tokio::task::yield_now().await;
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        }
        process.set_state(ProcessState::Stopped { pid: 7, exit: exit(5) });
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), 5);
        }
        assert_eq!(process.wait().await.code, 5);
    }
}
