//! What the shim asks of the helper, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The argument that makes this binary the helper. The next ones are the shim's pid and,
/// if the container's process is to inherit it, the socket for compiled code.
pub const COMMAND: &str = "helper";

/// What to do to the container of an OCI bundle.
#[derive(Debug, Serialize, Deserialize)]
pub enum HelperCommand {
    /// Mounts the root filesystem and makes the container. Answers its process's pid, or
    /// [`NO_ENTRYPOINT`] before anything is made.
    Create {
        bundle: PathBuf,
        id: String,
        mounts: Vec<RootMount>,
        systemd: bool,
        stdio: ProcessStdio,
        module: ModuleFile,
    },
    /// Lets the container's process execute its program.
    Start { bundle: PathBuf, id: String },
    /// Starts another process in the container, which the OCI process in the file
    /// describes. Answers its pid.
    Exec { bundle: PathBuf, id: String, process: PathBuf, stdio: ProcessStdio },
    /// Removes what is left of the container: processes, cgroup, state and mounts.
    Delete { bundle: PathBuf, id: String },
}

/// Where the file is that the entrypoint names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleFile {
    /// In the image's root. If it is not there, the answer is [`NO_ENTRYPOINT`].
    Expected,
    /// In the image's root or nowhere: if it is not there, the error names it.
    InRoot,
    /// This file, a layer of the image.
    Layer(PathBuf),
}

/// The answer when the image's root has no file of the entrypoint's name.
pub const NO_ENTRYPOINT: i32 = -1;

/// A mount of the root filesystem, as containerd describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootMount {
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

/// Where a process's input comes from and its output goes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ProcessStdio {
    /// Files or FIFOs by path; null devices where there is none.
    Files { stdin: Option<PathBuf>, stdout: Option<PathBuf>, stderr: Option<PathBuf> },
    /// A terminal, whose master is sent to this socket.
    Terminal { socket: PathBuf },
}

/// The pid of a process (0 where there is none), or an error message.
pub type Answer = Result<i32, String>;
