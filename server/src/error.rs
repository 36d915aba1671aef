//! Why a site cannot be served, and the exit code that says so.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::settings::SettingError;

/// What stops a site from starting. Codes are those of sysexits.h, except where
/// it has none.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command line is not `MODULE [ASSETS]`.
    #[error(
        "{0}; the entrypoint is the module and its one argument the directory of assets: [\"/ssr.wasm\", \"/dist\"]"
    )]
    Usage(String),
    /// A file or directory is not there, or cannot be read.
    #[error("cannot read {what} '{}': {source}", path.display())]
    Read {
        /// What it should have been.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The module is none, damaged, or not a site.
    #[error("the module '{name}' cannot be served: {reason}")]
    Module {
        /// The module's file name.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A setting has a value that is not accepted.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The address is taken, or may not be used.
    #[error("cannot listen on {address}: {source}; set SSR_LISTEN to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The engine or the runtime did not start.
    #[error("cannot start: {0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Module { .. } => 65,
            Self::Read { .. } => 66,
            Self::Listen { .. } => 69,
            Self::Internal(_) => 70,
            Self::Setting(_) => 78,
        }
    }
}
