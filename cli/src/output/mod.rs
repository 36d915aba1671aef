//! Where a command's result goes: a file, or standard output.

pub mod atomic_file;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use atomic_file::{AtomicFile, directory_of};

/// What `-o` names.
#[derive(Debug)]
pub enum Output {
    /// `-`
    Stdout,
    /// A file, and the resolved directory that holds it.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The directory without links.
        directory: PathBuf,
    },
}

/// Writes a whole text to standard output.
pub fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).context("cannot write to standard output")
}

impl Output {
    /// Checks `path` before any work is done. `what` names the content in errors.
    pub fn new(path: &Path, what: &str) -> Result<Self> {
        if path == Path::new("-") {
            ensure!(
                !io::stdout().is_terminal(),
                "-o -: {what} is binary and standard output is a terminal; redirect it or name a file"
            );
            return Ok(Self::Stdout);
        }
        let (shown, directory) = (path.display(), directory_of(path));
        let resolved = directory
            .canonicalize()
            .with_context(|| format!("-o {shown}: cannot use its directory '{}'", directory.display()))?;
        ensure!(!path.is_dir(), "-o {shown}: this is a directory; name a file in it");
        // It would be replaced: a device by a file, for example.
        ensure!(!path.exists() || path.is_file(), "-o {shown}: this is not a regular file; name another");
        Ok(Self::File { path: path.to_owned(), directory: resolved })
    }

    /// Writes the result. A file is there as a whole or not at all.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let path = match self {
            Self::Stdout => {
                return write(&mut io::stdout().lock()).context("cannot write to standard output");
            }
            Self::File { path, .. } => path,
        };
        let cannot = || format!("cannot write '{}'", path.display());
        let mut file = AtomicFile::create(path).with_context(cannot)?;
        write(file.file()).with_context(cannot)?;
        file.replace().with_context(cannot)
    }
}
