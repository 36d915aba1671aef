//! Why a site cannot be served, and the exit code for it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ssr_wasi::DirectoryError;
use ssr_wasm::code_source::SourceError;
use ssr_wasm::guests::snapshot::LoadError;

use crate::settings::SettingError;

/// Why a site cannot be served. Exit codes are those of sysexits.h.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The command line is not `MODULE [ASSETS]`.
    #[error(
        "{0}; the entrypoint must be the module, and its only argument the directory of assets: [\"/ssr.wasm\", \"/dist\"]"
    )]
    Usage(String),
    /// A file or directory does not exist or cannot be read.
    #[error("cannot read {what} '{}': {source}", path.display())]
    Read {
        /// What it is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The module is damaged, or none that can be used so.
    #[error("cannot run the module '{name}': {reason}")]
    Module {
        /// The module's file name.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The settings allow less than the module needs to start with.
    #[error("cannot run the module '{name}': {reason}")]
    Limits {
        /// The module's file name.
        name: String,
        /// What it needs.
        reason: String,
    },
    /// A directory cannot be given to a command.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A setting is invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The address is taken or not available.
    #[error("cannot listen on {address}: {source}; set SSR_LISTEN to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The engine or the runtime did not start.
    #[error("cannot start: {0}")]
    Internal(String),
}

impl From<SourceError> for ServeError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Read { path, source } => Self::Read { what: "the module", path, source },
            SourceError::Module { name, reason } => Self::Module { name, reason },
        }
    }
}

impl ServeError {
    /// Why the module called `name` was not loaded.
    pub(crate) fn of_load(name: &str, error: LoadError) -> Self {
        match error {
            LoadError::Module(reason) => Self::Module { name: name.to_owned(), reason },
            LoadError::Limits(reason) => Self::Limits { name: name.to_owned(), reason },
            LoadError::Internal(reason) => Self::Internal(reason),
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Module { .. } => 65,
            Self::Read { .. } | Self::Directory(_) => 66,
            Self::Listen { .. } => 69,
            Self::Internal(_) => 70,
            Self::Setting(_) | Self::Limits { .. } => 78,
        }
    }
}
