//! Why a node's configuration cannot be changed.

use std::io;
use std::path::{Path, PathBuf};

/// An error, in words that name the file and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The system refused to read or write something.
    #[error("cannot {action} '{}': {source}{}", path.display(), advice(source))]
    System {
        /// What was tried: "read", "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A configuration file is not UTF-8.
    #[error("'{}' is not UTF-8 text; it was left alone", .0.display())]
    NotText(PathBuf),
    /// A configuration file does not parse.
    #[error("'{}', line {line}, column {column}: {reason}; correct it first, it was left alone", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// The entry cannot be added to a file without changing what is there.
    #[error("cannot add the runtime to '{}': {reason}; add it by hand:\n{entry}", path.display())]
    NoPlace {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What to add.
        entry: String,
    },
    /// One of the two lines around what `ssr node install` wrote is gone.
    #[error(
        "'{}', line {line}: the block of containerd-shim-ssr has no {missing}; restore the line '{text}', or delete \
         the block by hand",
        path.display()
    )]
    TornBlock {
        /// The file.
        path: PathBuf,
        /// The line of the one that is there, from 1.
        line: usize,
        /// Which one is missing.
        missing: &'static str,
        /// The missing line.
        text: &'static str,
    },
    /// It is unknown how the configuration has to be written.
    #[error(
        "the version of {engine}'s containerd is unknown ({reason}): say it with --engine-version {engine}=VERSION"
    )]
    UnknownVersion {
        /// The engine's name.
        engine: &'static str,
        /// Why.
        reason: String,
    },
    /// There is nothing to configure.
    #[error(
        "no container engine found on this node: none of containerd, Docker, k3s, RKE2 and microk8s is installed; \
         install one, or name it with --engine"
    )]
    NoEngine,
    /// The engine's version runs no sites.
    #[error("{engine} {found} is too old: {needs}")]
    TooOld {
        /// The engine's name.
        engine: &'static str,
        /// Its version.
        found: String,
        /// What is needed.
        needs: &'static str,
    },
    /// A name that `--alias` wants is taken.
    #[error("--alias {name}: '{}' is another shim; remove it first, or do without the alias", path.display())]
    AliasTaken {
        /// The alias.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The alias has nothing to point to.
    #[error(
        "--alias {name}: containerd-shim-ssr-v1 is in none of {searched}: install it first (`make install`)"
    )]
    NoShim {
        /// The alias.
        name: String,
        /// The directories.
        searched: String,
    },
    /// A restart failed.
    #[error("`{command}` failed: {reason}; the configuration is written: restart {engine} yourself")]
    Restart {
        /// The command.
        command: String,
        /// Why.
        reason: String,
        /// The engine's name.
        engine: &'static str,
    },
    /// The record of what was changed cannot be read.
    #[error("'{}': {reason}; move it away to go on without it", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => " (run this as root)",
        _ => "",
    }
}

/// Adds the action and the path to the system's errors.
pub trait Context<T> {
    /// `action` is a verb: "read".
    fn context(self, action: &'static str, path: &Path) -> Result<T, NodeError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, NodeError> {
        self.map_err(|source| NodeError::System { action, path: path.to_owned(), source })
    }
}
