//! What the shim asks of the helper, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The argument that makes this binary the helper. The next ones are the shim's pid and,
/// if the container's process is to inherit it, the socket for compiled code.
pub const COMMAND: &str = "helper";

/// What to do to the container of an OCI bundle.
#[derive(Debug, Serialize, Deserialize)]
pub enum HelperCommand {
    /// Mounts the root filesystem and makes the container.
    Create {
        bundle: PathBuf,
        id: String,
        mounts: Vec<RootMount>,
        options: OwnOptions,
        stdio: ProcessStdio,
        module: ModuleFile,
    },
    /// Lets the container's process execute its program.
    Start { bundle: PathBuf, id: String },
    /// Starts another process in the container, which the OCI process `process`, as JSON,
    /// describes. `init` is the pid of the container's first process.
    Exec { bundle: PathBuf, init: i32, process: String, stdio: ProcessStdio },
    /// Removes what is left of the container: processes, cgroup, state and mounts.
    Delete { bundle: PathBuf, id: String, systemd: bool },
}

/// Options for containers that libcontainer makes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OwnOptions {
    /// Whether systemd manages the cgroup.
    pub systemd: bool,
    /// Whether the root is changed without `pivot_root`.
    pub no_pivot: bool,
}

/// Where the file is that the entrypoint names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleFile {
    /// In the image's root. If it is not there, the answer is [`Done::NoEntrypoint`].
    Expected,
    /// In the image's root or nowhere: if it is not there, the error names it.
    InRoot,
    /// This file, a layer of the image.
    Layer(PathBuf),
}

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
    /// Files or FIFOs by path.
    Files(StdioFiles),
    /// A terminal, whose master is sent to this socket.
    Terminal { socket: PathBuf },
}

/// Paths of files or FIFOs; where there is none, the process gets the null device.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StdioFiles {
    pub stdin: Option<PathBuf>,
    pub stdout: Option<PathBuf>,
    pub stderr: Option<PathBuf>,
}

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// All that was asked, and there is no new process.
    Nothing,
    /// The container's processes and mounts are gone, and this says what could not be removed.
    Left(String),
    /// There is a process. `serves` says whether it will ask for its module's code.
    Process { pid: i32, serves: bool },
    /// Nothing: the image's root has no file of the entrypoint's name.
    NoEntrypoint,
    /// The root filesystem is mounted, and the container is to be made by the node's OCI
    /// runtime: it runs a Linux program.
    LinuxRoot,
}

/// What was done, or an error message.
pub type Answer = Result<Done, String>;
