//! Compiles a site's module, for this machine or another.

use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io;

use xxhash_rust::xxh3::Xxh3;

use crate::carried::text::SharedText;
use crate::detect::{self, Kind};
use crate::engine::{self, Form};
use crate::interrupt::Interruption;
use crate::linked::LinkedEngine;
use crate::target::Target;

/// A compiled module.
#[derive(Debug)]
pub struct Compiled {
    /// Machine code, an ELF file as wasmtime serializes it.
    pub code: Vec<u8>,
    /// The engine that made it; see [`compatibility`].
    pub engine: String,
    /// How its renders are to be interrupted.
    pub interruption: Interruption,
    /// What the module is.
    pub kind: Kind,
}

/// How renders of the engines that programs have themselves are interrupted.
pub const OWN_ENGINES: Interruption = Interruption::Signal;

/// Compiled code in a file that can be mapped.
#[derive(Debug)]
pub struct CompiledCode {
    /// The file, which begins with the code.
    pub file: File,
    /// How its renders are to be interrupted.
    pub interruption: Interruption,
    /// Where the machine code is.
    pub machine: MachineCode,
}

/// Where machine code is.
#[derive(Debug)]
pub enum MachineCode {
    /// In the file of the compiled code.
    InFile,
    /// In another file. The first one is an artifact without it.
    Shared(SharedText),
    /// In this program. The file is what the site adds to that engine.
    Linked(&'static LinkedEngine),
}

/// Why there is no compiled code for a module.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module is at fault: what is wrong and what to do.
    #[error("{0}")]
    Module(String),
    /// The compiler or the way to it failed.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Compiles the bytes of a module; `name` is what the log calls it. The error says
/// what is wrong with the module and what to do. `render_memory_limit` (bytes) matters
/// to 32-bit targets only.
pub fn compile(
    module: &[u8],
    name: &str,
    target: Target,
    render_memory_limit: usize,
) -> Result<Compiled, String> {
    let kind = detect::check(module)?;
    let refused = |error: wasmtime::Error| does_not_compile(&error, &kind);
    let with = |interruption| {
        let engine = engine::for_compiling(target, kind.form(), interruption, render_memory_limit)?;
        if kind.is_component() {
            engine.precompile_component(module)
        } else {
            engine.precompile_module(module)
        }
    };
    let mut interruption = preferred(target);
    let mut code = with(interruption).map_err(refused)?;
    if !interruption.suits(&code) {
        log::debug!("renders of {name} cannot be interrupted by signals; compiling it for epochs");
        interruption = Interruption::Epoch;
        code = with(interruption).map_err(refused)?;
    }
    let engine = compatibility(target, render_memory_limit).map_err(refused)?;
    Ok(Compiled { code, engine, interruption, kind })
}

/// Compiles an engine that programs carry, as [`crate::carried`] describes. The error says what is
/// wrong.
pub(crate) fn compile_engine(
    module: &[u8],
    target: Target,
    render_memory_limit: usize,
) -> Result<Vec<u8>, String> {
    let engine = engine::for_compiling(target, Form::Module, OWN_ENGINES, render_memory_limit);
    let code = engine.and_then(|engine| engine.precompile_module(module));
    let code = code.map_err(|error| format!("it does not compile: {error:#}"))?;
    if !OWN_ENGINES.suits(&code) {
        return Err("its renders could not be interrupted".to_owned());
    }
    Ok(code)
}

/// Why a module does not compile, and what to do.
pub fn does_not_compile(error: &wasmtime::Error, kind: &Kind) -> String {
    let advice = if matches!(kind, Kind::Site(_)) { "; build it again with `ssr build`" } else { "" };
    format!("it does not compile: {error:#}{advice}")
}

/// The engines whose code this machine can load, as [`compatibility`] names them,
/// best first: code compiled on another machine uses fewer of this processor's
/// instructions.
pub fn loadable_engines(render_memory_limit: usize) -> wasmtime::Result<Vec<String>> {
    let targets = [Some(Target::Host), Target::of_host()];
    targets.into_iter().flatten().map(|target| compatibility(target, render_memory_limit)).collect()
}

/// Names the engine of a target, as 16 hexadecimal digits: equal for engines that can
/// load each other's code.
pub fn compatibility(target: Target, render_memory_limit: usize) -> wasmtime::Result<String> {
    let engine = engine::for_compiling(target, Form::Module, preferred(target), render_memory_limit)?;
    let mut hasher = PortableHasher(Xxh3::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    detect::ABI_VERSION.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn preferred(target: Target) -> Interruption {
    match target {
        Target::Host => Interruption::cheapest(),
        Target::X86_64 | Target::X86_64V3 | Target::Arm64 => Interruption::Signal,
        Target::Arm => Interruption::Epoch,
    }
}

/// A hasher whose result depends neither on the word size nor on the byte order of
/// the machine: code compiled on one machine is looked up on another.
struct PortableHasher(Xxh3);

impl Hasher for PortableHasher {
    fn finish(&self) -> u64 {
        self.0.digest()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as i64 as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DEFAULT_RENDER_MEMORY_LIMIT;

    #[test]
    fn every_target_has_a_stable_engine_name_of_its_own() {
        let names =
            || Target::PORTABLE.map(|target| compatibility(target, DEFAULT_RENDER_MEMORY_LIMIT).unwrap());
        let [x86, arm64, arm] = names();
        assert!(x86 != arm64 && arm64 != arm && x86 != arm);
        assert_eq!([x86, arm64, arm], names());
    }

    #[test]
    fn numbers_hash_alike_on_machines_of_any_word_size() {
        let hash = |write: fn(&mut PortableHasher)| {
            let mut hasher = PortableHasher(Xxh3::new());
            write(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(|h| h.write_usize(7)), hash(|h| h.write(&[7, 0, 0, 0, 0, 0, 0, 0])));
        assert_eq!(hash(|h| h.write_isize(-1)), hash(|h| h.write(&[0xff; 8])));
        assert_eq!(hash(|h| h.write_u32(258)), hash(|h| h.write(&[2, 1, 0, 0])));
    }
}
