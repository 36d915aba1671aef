//! Finds a module's code in the cache, or compiles it.

use std::io;

use ssr_wasm::carried::parts::Parts;
use ssr_wasm::carried::sparse::Sparse;
use ssr_wasm::carried::text::SharedText;
use ssr_wasm::compile::{self, CompileError, MachineCode};
use ssr_wasm::detect::{self, Kind};
use ssr_wasm::own_engines::{self, OwnEngine};
use ssr_wasm::target::Target;

use crate::cache::{CacheError, Code, CodeCache, Failure, Remembered};
use crate::entry;
use crate::metadata::{EntryMetadata, Key};
use crate::module::digest;
use crate::read_only::ReadOnlyFile;

/// Why code was not added to a cache.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The module does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// A module to compile.
#[derive(Debug)]
pub struct CompileRequest<'a> {
    /// Its bytes.
    pub module: &'a [u8],
    /// Its name, for people.
    pub name: &'a str,
    /// The memory limit of a render in bytes, which code for 32-bit targets depends on.
    pub render_memory_limit: usize,
}

/// Code and what it is.
pub type Described = (EntryMetadata, Sparse<'static>);

/// Why an attempt to compile gave no code.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The module is at fault, and always will be: what is wrong and what to do.
    #[error("{0}")]
    Module(String),
    /// Memory or time did not suffice, today at least.
    #[error("{0}")]
    Exhausted(String),
    /// The compiler or the way to it failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<AttemptError> for CompileError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Module(reason) | AttemptError::Exhausted(reason) => Self::Module(reason),
            AttemptError::System(error) => Self::System(error),
        }
    }
}

impl CompileRequest<'_> {
    /// Compiles the module in this process.
    pub fn compile(&self, target: Target) -> Result<Described, AttemptError> {
        let Self { module, name, render_memory_limit } = *self;
        let compiled =
            compile::compile(module, name, target, render_memory_limit).map_err(AttemptError::Module)?;
        Ok((EntryMetadata::of(&compiled, module, name, target, render_memory_limit), compiled.code.into()))
    }

    /// The module's code if it is a site whose engine this program has: nothing is compiled.
    /// `module` is its [`digest`].
    fn on_own_engine(&self, module: &str) -> io::Result<Option<(Described, MachineCode)>> {
        let Ok(kind @ Kind::Site(_)) = detect::check(self.module) else { return Ok(None) };
        let Some(parts) = Parts::of(self.module) else { return Ok(None) };
        let Some(engine) = own_engines::of_site(own_engines::all(), &parts) else { return Ok(None) };
        let Some(file) = engine.file_of(&parts)? else { return Ok(None) };
        let metadata = EntryMetadata {
            key: Key { module: module.to_owned(), engine: engine.id().to_owned() },
            name: self.name.to_owned(),
            target: engine.target().to_owned(),
            render_memory_limit: None,
            interruption: compile::OWN_ENGINES,
            kind,
        };
        Ok(Some(((metadata, file), machine_code(&engine)?)))
    }

    /// Whether code that another process has made is what this request is for.
    pub fn fits(&self, metadata: &EntryMetadata) -> Result<bool, CompileError> {
        let engines = host_engines(self.render_memory_limit)?;
        Ok(metadata.key.module == digest(self.module) && engines.first() == Some(&metadata.key.engine))
    }
}

/// Finds code by the module's [`digest`]; `engines` are those that can load it, best
/// first.
pub fn find(cache: &CodeCache, module: &str, engines: &[String], warnings: &mut Vec<String>) -> Option<Code> {
    engines
        .iter()
        .find_map(|engine| cache.find(&Key { module: module.to_owned(), engine: engine.clone() }, warnings))
}

/// The same for this machine: also what sites add to this program's engines.
pub fn find_here(
    cache: &CodeCache,
    module: &str,
    engines: &[String],
    warnings: &mut Vec<String>,
) -> Option<Code> {
    find(cache, module, engines, warnings).or_else(|| {
        own_engines::all().find_map(|engine| {
            let code = find(cache, module, &[engine.id().to_owned()], warnings)?;
            match machine_code(&engine) {
                Ok(machine) => Some(Code { machine, ..code }),
                Err(error) => {
                    warnings.push(format!("cannot use this program's engines: {error}"));
                    None
                }
            }
        })
    })
}

/// An engine's machine code; if it is a file, one that nobody who gets it can change.
fn machine_code(engine: &OwnEngine<'_>) -> io::Result<MachineCode> {
    engine.machine_code(|text| {
        let (program, offset, length) = text.place();
        let (file, offset) = ReadOnlyFile::of_part(program, offset, length)?;
        Ok(SharedText::new(file.into_file(), offset, length))
    })
}

/// Finds out whether a module did not compile before; `engines` as for [`find`].
pub fn find_failure(cache: &CodeCache, module: &str, engines: &[String]) -> Option<Remembered> {
    // The first one is what this machine compiles for.
    let engine = engines.first()?.clone();
    cache.failure(&Key { module: module.to_owned(), engine })
}

/// Remembers that a module, of which this is the [`digest`], did not compile for this machine.
/// A failure that cannot be remembered is only logged.
fn remember_failure(cache: &CodeCache, module: &str, render_memory_limit: usize, failure: &Failure) {
    let remembered =
        host_engines(render_memory_limit).map_err(|error| error.to_string()).and_then(|engines| {
            let engine = engines.into_iter().next().unwrap_or_default();
            cache
                .remember_failure(&Key { module: module.to_owned(), engine }, failure)
                .map_err(|error| error.to_string())
        });
    if let Err(error) = remembered {
        log::debug!("cannot remember that {} does not compile: {error}", failure.name);
    }
}

/// The engines whose code this machine can load, best first.
pub fn host_engines(render_memory_limit: usize) -> Result<Vec<String>, CompileError> {
    let engines = compile::loadable_engines(render_memory_limit);
    engines.map_err(|error| CompileError::System(io::Error::other(format!("{error:#}"))))
}

/// Finds code of a module, of which this is the [`digest`], for a target.
fn find_for(
    cache: &CodeCache,
    module: &str,
    render_memory_limit: usize,
    target: Target,
    warnings: &mut Vec<String>,
) -> Result<Option<Code>, CompileError> {
    if target == Target::Host {
        return Ok(find_here(cache, module, &host_engines(render_memory_limit)?, warnings));
    }
    let engine = compile::compatibility(target, render_memory_limit)
        .map_err(|error| CompileError::System(io::Error::other(format!("{error:#}"))))?;
    Ok(find(cache, module, &[engine], warnings))
}

/// Finds a module's code, or compiles it, for this machine, and in the latter case adds
/// it to the cache. Without a cache, or if it cannot be written to, the code is in
/// memory.
///
/// Whoever wants the same module at the same time waits and then finds it; of different
/// modules, as many are compiled at once as there is memory for. `compile` does it: in this
/// process ([`CompileRequest::compile`]) or in another.
pub fn provide(
    cache: Result<CodeCache, CacheError>,
    request: &CompileRequest<'_>,
    compile: impl FnOnce(&CompileRequest<'_>) -> Result<Described, AttemptError>,
) -> Result<Code, CompileError> {
    let (mut warnings, mut notes) = (Vec::new(), Vec::new());
    let mut without = |error: CacheError| match error {
        CacheError::TurnedOff => notes.push(format!("{error}: code is compiled at every start")),
        error => warnings.push(format!("running without the code cache: {error}")),
    };
    let module = digest(request.module);
    let turn = cache.and_then(|cache| cache.wait_for_turn(&module).map(|turn| (cache, turn)));
    let turn = turn.map_err(&mut without).ok();
    if let Some((cache, _)) = &turn {
        let engines = host_engines(request.render_memory_limit)?;
        // Another process may have compiled it while this one waited.
        if let Some(code) = find_here(cache, &module, &engines, &mut Vec::new()) {
            return Ok(code);
        }
        if let Some(failure) = find_failure(cache, &module, &engines) {
            return Err(CompileError::Module(failure.explain()));
        }
    }
    let (compiled, machine) = match request.on_own_engine(&module) {
        Ok(Some((described, machine))) => (Ok(described), machine),
        unusable => {
            if let Err(error) = unusable {
                log::warn!("cannot use this program's engines: {error}");
            }
            turn.as_ref().map(|(_, turn)| turn.wait_for_slot()).transpose()?;
            (compile(request), MachineCode::InFile)
        }
    };
    let failed = match &compiled {
        Err(AttemptError::Module(reason)) => Some((reason, false)),
        Err(AttemptError::Exhausted(reason)) => Some((reason, true)),
        _ => None,
    };
    if let (Some((cache, _)), Some((reason, passing))) = (&turn, failed) {
        let failure = Failure { name: request.name.to_owned(), reason: reason.clone(), passing };
        remember_failure(cache, &module, request.render_memory_limit, &failure);
    }
    let (metadata, code) = compiled?;
    let inserted = turn.and_then(|(cache, _turn)| {
        let file = cache.insert(&metadata, &code).map_err(&mut without).ok()?;
        Some(cache.hand_out(&file))
    });
    let file = match inserted {
        Some(file) => file?,
        None => ReadOnlyFile::in_memory(|file| entry::write(file, &metadata, &code))?,
    };
    let compiled = matches!(machine, MachineCode::InFile);
    Ok(Code { file, metadata, machine, compiled, warnings, notes })
}

/// Finds what a site adds to one of this program's engines in the cache, or adds it. `None` if
/// the module is no such site, or the cache cannot be used: [`provide`] says why.
pub fn on_own_engine(cache: &CodeCache, module: &[u8], name: &str) -> Option<Code> {
    let digest = digest(module);
    let _turn = cache.wait_for_turn(&digest).ok()?;
    if let Some(code) = find_here(cache, &digest, &[], &mut Vec::new()) {
        return Some(code);
    }
    // No engine of this program's depends on the limit.
    let request = CompileRequest { module, name, render_memory_limit: 0 };
    let ((metadata, content), machine) = request.on_own_engine(&digest).ok()??;
    let file = cache.hand_out(&cache.insert(&metadata, &content).ok()?).ok()?;
    Some(Code { file, metadata, machine, compiled: false, warnings: Vec::new(), notes: Vec::new() })
}

/// Finds a module's code for a target in the cache, or compiles it and adds it. Calls
/// `compiling` before it compiles.
pub fn add(
    cache: &CodeCache,
    request: &CompileRequest<'_>,
    target: Target,
    compiling: impl FnOnce(),
) -> Result<Code, AddError> {
    let module = digest(request.module);
    let turn = cache.wait_for_turn(&module)?;
    let mut warnings = Vec::new();
    if let Some(code) = find_for(cache, &module, request.render_memory_limit, target, &mut warnings)? {
        return Ok(Code { warnings, ..code });
    }
    turn.wait_for_slot().map_err(CompileError::System)?;
    compiling();
    let (metadata, code) = request.compile(target).map_err(CompileError::from)?;
    let file = cache.hand_out(&cache.insert(&metadata, &code)?).map_err(CompileError::System)?;
    let machine = MachineCode::InFile;
    Ok(Code { file, metadata, machine, compiled: true, warnings, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::site;

    /// [`super::provide`], compiling in this process.
    fn provide(
        cache: Result<CodeCache, CacheError>,
        request: &CompileRequest<'_>,
    ) -> Result<Code, CompileError> {
        super::provide(cache, request, |request| request.compile(Target::Host))
    }

    fn request(module: &[u8]) -> CompileRequest<'_> {
        CompileRequest { module, name: "ssr.wasm", render_memory_limit: 32 << 20 }
    }

    #[test]
    fn code_too_large_for_the_cache_is_provided_with_a_warning_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(directory.path(), 5_000).unwrap();
        let code = provide(Ok(cache.clone()), &request(&site())).unwrap();
        assert_eq!(entry::check(code.file.as_file()).unwrap(), code.metadata);
        assert_eq!(code.warnings.len(), 1);
        assert!(code.warnings[0].contains("'ssr.wasm' needs") && code.warnings[0].contains("`size`"));
        assert!(cache.list().unwrap().is_empty());
    }

    #[test]
    fn a_module_that_does_not_compile_is_compiled_once() {
        let directory = tempfile::tempdir().unwrap();
        let cache = || CodeCache::open(directory.path(), 1 << 20);
        let module = [&site()[..], &[1, 1, 0x7f]].concat();
        let reason = || match provide(cache(), &request(&module)).unwrap_err() {
            CompileError::Module(reason) => reason,
            CompileError::System(error) => panic!("{error}"),
        };
        let first = reason();
        assert!(!first.contains("remembered"), "{first}");
        let second = reason();
        assert!(second.starts_with(&first) && second.contains("remembered"), "{second}");
        let engines = host_engines(32 << 20).unwrap();
        let remembered = find_failure(&cache().unwrap(), &digest(&module), &engines).unwrap();
        assert_eq!(remembered.explain(), second);
        cache().unwrap().forget(&remembered).unwrap();
        assert_eq!(reason(), first);
        // Who asks for it explicitly gets another attempt.
        assert!(add(&cache().unwrap(), &request(&module), Target::Host, || ()).is_err());
    }

    #[test]
    fn code_that_another_process_has_made_is_what_was_asked_for() {
        let (module, other) = (site(), [&site()[..], &[0, 1, 0]].concat());
        let (metadata, _) = request(&module).compile(Target::Host).unwrap();
        assert!(request(&module).fits(&metadata).unwrap());
        assert!(!request(&other).fits(&metadata).unwrap());
        let mut foreign = metadata;
        foreign.key.engine = "0123456789abcdef".to_owned();
        assert!(!request(&module).fits(&foreign).unwrap());
    }

    #[test]
    fn a_cache_that_is_turned_off_is_a_note_and_no_warning() {
        let code = provide(Err(CacheError::TurnedOff), &request(&site())).unwrap();
        assert!(code.compiled && code.warnings.is_empty());
        assert_eq!(
            code.notes,
            [
                "the node's configuration turns the code cache off ([cache] enabled = false): code is compiled at \
              every start"
            ]
        );
    }

    #[test]
    fn whoever_waits_for_the_same_module_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let module = site();
        let compiled = std::thread::scope(|scope| {
            let provided = [(); 4].map(|()| {
                scope.spawn(|| {
                    let cache = CodeCache::open(directory.path(), 1 << 20);
                    provide(cache, &request(&module)).unwrap().compiled
                })
            });
            provided.map(|provided| provided.join().unwrap()).into_iter().filter(|compiled| *compiled).count()
        });
        assert_eq!(compiled, 1);
    }
}
