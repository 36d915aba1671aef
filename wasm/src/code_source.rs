//! Where a module's compiled code comes from.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MemFdCreateFlag, memfd_create};

use crate::compile::{CompileError, CompiledCode};
use crate::detect::{self, Kind};
use crate::limits::Limits;
use crate::own_engines;
use crate::text;

/// Returns the compiled code of a module: its name, its open file and the limits of its
/// renders.
pub type CodeProvider = dyn FnMut(&str, &File, &Limits) -> Result<CompiledCode, CompileError> + Send;

/// Where a module's compiled code comes from.
pub enum CodeSource {
    /// The module is compiled in this process, unless it is a site whose engine this program
    /// has.
    Compile,
    /// The same, but these are its bytes: they are in no file.
    CompileBytes(Vec<u8>),
    /// Somebody else has it. If the provider fails for reasons of its own, the module is
    /// compiled in this process.
    Provider(Box<CodeProvider>),
}

/// A module, ready to be loaded.
pub struct Source {
    /// Its file's name.
    pub name: String,
    /// Its code.
    pub code: Code,
}

/// A module's code.
pub enum Code {
    /// Compiled by somebody else.
    Compiled(CompiledCode),
    /// The module's bytes, to be compiled in this process.
    Bytes(Vec<u8>),
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The module cannot be read.
    #[error("cannot read the module '{}': {source}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The module is at fault.
    #[error("the module '{name}': {reason}")]
    Module {
        /// Its file's name.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// The name of the file at `path`, as the log calls it.
pub fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy()).into_owned()
}

/// Opens the module at `path`. One in the text format (.wat) becomes a binary one, in memory.
///
/// # Errors
/// If it cannot be read, or the text is none.
pub fn open(path: &str) -> Result<File, SourceError> {
    let unreadable = |source| SourceError::Read { path: PathBuf::from(path), source };
    let file = File::open(path).map_err(unreadable)?;
    let Some(source) = text::read(&file).map_err(unreadable)? else { return Ok(file) };
    let binary =
        text::assemble(&source).map_err(|reason| SourceError::Module { name: file_name(path), reason })?;
    let in_memory = || -> io::Result<File> {
        let mut file = File::from(memfd_create(c"module", MemFdCreateFlag::MFD_CLOEXEC)?);
        file.write_all(&binary)?;
        Ok(file)
    };
    in_memory().map_err(unreadable)
}

impl CodeSource {
    /// What the module at `path` is.
    ///
    /// # Errors
    /// If it cannot be read, or is none that runs here.
    pub fn kind(&self, path: &str) -> Result<Kind, SourceError> {
        let kind = match self {
            Self::CompileBytes(bytes) => detect::check(bytes),
            Self::Compile | Self::Provider(_) => detect::kind_of(&open(path)?)
                .map_err(|source| SourceError::Read { path: PathBuf::from(path), source })?,
        };
        kind.map_err(|reason| SourceError::Module { name: file_name(path), reason })
    }

    /// The code of the module at `path`. What provides it may be asked for several modules.
    pub fn code(&mut self, path: &str, limits: &Limits) -> Result<Source, SourceError> {
        let name = file_name(path);
        let unreadable = |source| SourceError::Read { path: PathBuf::from(path), source };
        let module = match self {
            Self::CompileBytes(bytes) => {
                announce(&name);
                return Ok(Source { name, code: Code::Bytes(std::mem::take(bytes)) });
            }
            Self::Compile => {
                let module = text::whole(&open(path)?).map_err(unreadable)?;
                if let Some(code) = on_own_engine(&name, &module) {
                    return Ok(Source { name, code: Code::Compiled(code) });
                }
                announce(&name);
                return Ok(Source { name, code: Code::Bytes(module) });
            }
            Self::Provider(provide) => {
                let module = open(path)?;
                match provide(&name, &module, limits) {
                    Ok(code) => return Ok(Source { name, code: Code::Compiled(code) }),
                    Err(CompileError::Module(reason)) => return Err(SourceError::Module { name, reason }),
                    Err(CompileError::System(error)) => {
                        log::warn!("there is no compiled code for {name} ({error}); compiling it here");
                    }
                }
                module
            }
        };
        announce(&name);
        let bytes = text::whole(&module).map_err(unreadable)?;
        Ok(Source { name, code: Code::Bytes(bytes) })
    }
}

/// The code of a site whose engine this program has.
pub fn on_own_engine(name: &str, module: &[u8]) -> Option<CompiledCode> {
    match own_engines::code(own_engines::all(), module) {
        Ok(Some((engine, code))) => {
            log::debug!("{name} runs on the machine code of the engine {}", engine.version());
            Some(code)
        }
        Ok(None) => None,
        Err(error) => {
            log::warn!("cannot use this program's engines: {error}");
            None
        }
    }
}

/// Compiling takes long enough on a small board to look stuck without a word.
fn announce(name: &str) {
    log::info!("compiling {name}");
}
