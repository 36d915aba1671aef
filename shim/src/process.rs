//! One process of a container: its first, or one that exec has added.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use containerd_shim::api::Status;
use tokio::sync::watch;

use crate::reaper::Exit;
use crate::runtime;
use crate::stdio::{Held, Prepared, Stdio};
use crate::terminal::{ConsoleSocket, Terminal};

/// How far a process has come.
#[derive(Debug, Clone, Default)]
pub enum Life {
    /// Known, and nothing more (an exec that is not started).
    #[default]
    Added,
    /// It exists, and waits to be told to go on to what it is to run.
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

impl Life {
    /// Its number, which remains after its end; 0 where it never had one.
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
    pub stdio: Stdio,
    life: watch::Sender<Life>,
    io: Mutex<Io>,
    /// Held while the process is started, and while its end is told: the end is
    /// not told before the start.
    pub turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
enum Io {
    #[default]
    None,
    Held(Held),
    Terminal(Terminal),
}

/// Stdio between its preparation and the process that has it.
pub enum PreparedIo {
    Files(Prepared),
    Terminal(ConsoleSocket),
}

impl PreparedIo {
    /// What the runtime is told of it.
    pub fn for_runtime(&mut self) -> runtime::Stdio {
        match self {
            Self::Files(prepared) => std::mem::replace(
                &mut prepared.files,
                runtime::Stdio::Files { stdin: None, stdout: None, stderr: None },
            ),
            Self::Terminal(socket) => runtime::Stdio::Terminal { socket: socket.path().to_owned() },
        }
    }
}

impl Process {
    pub fn new(stdio: Stdio) -> Self {
        let (life, _) = watch::channel(Life::default());
        Self { stdio, life, io: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    pub fn set_life(&self, life: Life) {
        self.life.send_replace(life);
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Exit {
        let mut life = self.life.subscribe();
        loop {
            if let Some(exit) = life.borrow_and_update().exit() {
                return exit.clone();
            }
            // The sender lives as long as `self`.
            let _ = life.changed().await;
        }
    }

    /// Takes over what the process now has for its stdio.
    pub fn attach(&self, prepared: PreparedIo) -> Result<()> {
        *self.io() = match prepared {
            PreparedIo::Files(prepared) => Io::Held(prepared.hold()?),
            PreparedIo::Terminal(socket) => {
                let terminal = socket.receive()?;
                terminal.copy(&self.stdio)?;
                Io::Terminal(terminal)
            }
        };
        Ok(())
    }

    /// No more input comes.
    pub fn close_input(&self) {
        match &mut *self.io() {
            Io::Held(held) => held.close_input(),
            Io::Terminal(terminal) => terminal.close_input(),
            Io::None => {}
        }
    }

    /// Tells the terminal's size; nothing happens where there is none.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        match &*self.io() {
            Io::Terminal(terminal) => terminal.resize(width, height),
            _ => Ok(()),
        }
    }

    /// Lets go of its stdio, when all output is delivered.
    pub async fn detach(&self) {
        let io = std::mem::take(&mut *self.io());
        if let Io::Terminal(terminal) = io {
            terminal.close().await;
        }
    }

    fn io(&self) -> MutexGuard<'_, Io> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
