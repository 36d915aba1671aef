//! Where a module's compiled code comes from.

use std::fs::File;
use std::path::{Path, PathBuf};

use ssr_wasm::compile::{CompileError, CompiledCode};
use ssr_wasm::guests::snapshot::{LoadError, Site};
use ssr_wasm::limits::Limits;

use crate::error::ServeError;

/// Returns the compiled code of a module: its name, its open file and the limits of its
/// renders.
pub type CodeProvider = dyn FnOnce(&str, &File, &Limits) -> Result<CompiledCode, CompileError> + Send;

/// Where a module's compiled code comes from.
pub enum CodeSource {
    /// The module is compiled in this process.
    Compile,
    /// The same, but these are its bytes: they are in no file.
    CompileBytes(Vec<u8>),
    /// Somebody else has it. If the provider fails for reasons of its own, the module is
    /// compiled in this process.
    Provider(Box<CodeProvider>),
}

impl CodeSource {
    /// Loads the module at `path`.
    pub(crate) fn load(self, path: &str, limits: &Limits) -> Result<Site, ServeError> {
        let unreadable = |source| ServeError::Read { what: "the module", path: PathBuf::from(path), source };
        let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
        let failed = |error| match error {
            LoadError::Module(reason) => ServeError::Module { name: name.clone().into_owned(), reason },
            LoadError::Internal(reason) => ServeError::Internal(reason),
        };
        let bytes = match self {
            Self::CompileBytes(bytes) => bytes,
            Self::Compile => std::fs::read(path).map_err(unreadable)?,
            Self::Provider(provide) => {
                let module = File::open(path).map_err(unreadable)?;
                match provide(&name, &module, limits) {
                    Ok(code) => return Site::load(&name, code, limits).map_err(failed),
                    Err(CompileError::Module(reason)) => return Err(failed(LoadError::Module(reason))),
                    Err(CompileError::System(error)) => {
                        log::warn!("the node has no compiled code for {name} ({error}); compiling it here");
                    }
                }
                std::fs::read(path).map_err(unreadable)?
            }
        };
        // Takes long enough on a small board to look stuck without a word.
        log::info!("compiling {name}");
        Site::compile(&name, &bytes, limits).map_err(failed)
    }
}
