//! What a WASI program gets from its operator: arguments, variables, directories and a network,
//! and nothing else.

mod beneath;
mod mounts;
mod network;

use std::path::PathBuf;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

pub use beneath::{Volume, VolumeError, open_beneath};
pub use mounts::container_directories;
pub use network::{ACCEPTED as ACCEPTED_NETWORK, Network};

/// What a program may use.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Its arguments, of which the first is its own name.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Where it starts, as it sees it. Preview 1 has no such thing: there it is only PWD.
    pub working_directory: Option<String>,
    /// Its directories.
    pub directories: Vec<Directory>,
    /// Whom it may talk to.
    pub network: Network,
    /// Most bytes of each of its memories.
    pub memory_limit: Option<usize>,
}

/// A directory that a program may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub host: PathBuf,
    /// Where the program finds it.
    pub guest: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// A directory that cannot be given to a program.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the directory '{}' for '{}': {reason}", directory.host.display(), directory.guest)]
pub struct DirectoryError {
    directory: Directory,
    reason: String,
}

impl Grants {
    /// A context with all of it except the standard streams.
    pub(crate) fn context(&self) -> Result<WasiCtxBuilder, DirectoryError> {
        let mut context = WasiCtxBuilder::new();
        context.args(&self.args).envs(&self.env);
        if let Some(directory) = &self.working_directory {
            context.initial_cwd(directory);
            if !self.env.iter().any(|(name, _)| name == "PWD") {
                context.env("PWD", directory);
            }
        }
        for directory in &self.directories {
            let permissions = if directory.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            let opened = context.preopened_dir(&directory.host, &directory.guest, permissions);
            opened.map_err(|error| DirectoryError {
                directory: directory.clone(),
                reason: format!("{error:#}"),
            })?;
        }
        self.network.allow_in(&mut context);
        Ok(context)
    }
}
