//! Compiling a site's module, for this machine or another.

use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use xxhash_rust::xxh3::Xxh3;

use crate::engine::{self, Target};
use crate::module::{self, SiteSection};
use crate::settings::Settings;
use crate::time_limit::Interruption;

/// What compiled code is good for, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which code this is.
    pub key: Key,
    /// The file that the module came from, without its directory: for people.
    pub name: String,
    /// For which machines: a target's name.
    pub target: String,
    /// The most memory of a render, in bytes, where code depends on it: with 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_memory: Option<usize>,
    /// How renders are to be ended.
    pub interruption: Interruption,
    /// What the module says of itself.
    pub site: SiteSection,
}

impl About {
    /// The target, if this version knows it.
    pub fn target(&self) -> Option<Target> {
        let mut all = Target::PORTABLE.into_iter().chain([Target::Host]);
        all.find(|target| target.name() == self.target)
    }

    /// Whether this version's engine has compiled it; code for [`Target::Host`], on
    /// a machine like this one.
    pub fn is_current(&self) -> bool {
        let defaults = Settings::default();
        let render_memory = self.render_memory.unwrap_or(defaults.render_memory);
        let settings = Settings { render_memory, render_threads: 1, ..defaults };
        let engine = self.target().and_then(|target| compatibility(&settings, target).ok());
        engine.is_some_and(|engine| engine == self.key.engine)
    }
}

/// Names compiled code: the same for equal modules and engines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of the module, in hexadecimal digits.
    pub module: String,
    /// The engine's compatibility hash, in hexadecimal digits.
    pub engine: String,
}

/// SHA-256 of a module, in hexadecimal digits.
pub fn digest(module: &[u8]) -> String {
    format!("{:x}", Sha256::digest(module))
}

/// The same of a file, whatever its descriptor's place is.
pub fn digest_file(module: &File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let read = module.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(format!("{:x}", digest.finalize()));
        }
        digest.update(&buffer[..read]);
        at += read as u64;
    }
}

/// The engines' names, as they are in keys, whose code this machine runs: its own
/// first. What another machine has compiled knows less of this one's processor.
pub fn engines(settings: &Settings) -> wasmtime::Result<Vec<String>> {
    let targets = [Some(Target::Host), Target::of_host()];
    targets.into_iter().flatten().map(|target| compatibility(settings, target)).collect()
}

/// The engine's name for a target: equal for engines that can load each other's code.
pub fn compatibility(settings: &Settings, target: Target) -> wasmtime::Result<String> {
    let engine = Engine::new(&engine::config(settings, preferred(target), target)?)?;
    let mut hasher = EverywhereEqual(Xxh3::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    module::ABI_VERSION.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// Compiles a module; `module` are its bytes, `name` is what it is called.
/// Otherwise says what is wrong with it and what to do.
pub fn compile(
    module: &[u8],
    name: &str,
    settings: &Settings,
    target: Target,
) -> Result<(About, Vec<u8>), String> {
    let site = module::check(module)?;
    let refused =
        |error: wasmtime::Error| format!("it does not compile: {error:#}; build it again with `ssr build`");
    let with = |interruption| {
        let engine = Engine::new(&engine::config(settings, interruption, target)?)?;
        engine.precompile_module(module)
    };
    let mut interruption = preferred(target);
    let mut code = with(interruption).map_err(refused)?;
    if !interruption.suits(&code) {
        log::debug!("renders of {name} cannot be ended by signals; compiling it for epochs");
        interruption = Interruption::Epoch;
        code = with(interruption).map_err(refused)?;
    }
    let engine = compatibility(settings, target).map_err(refused)?;
    let key = Key { module: digest(module), engine };
    let render_memory = target.has_32_bits().then_some(settings.render_memory);
    let (name, target) = (name.to_owned(), target.name().to_owned());
    Ok((About { key, name, target, render_memory, interruption, site }, code))
}

fn preferred(target: Target) -> Interruption {
    match target {
        Target::Host => Interruption::cheapest(),
        Target::X86_64 | Target::Arm64 => Interruption::Signal,
        Target::Arm => Interruption::Epoch,
    }
}

/// A hasher whose result depends neither on the machine's word size nor on its
/// byte order: code that one machine compiles is looked up by another.
struct EverywhereEqual(Xxh3);

impl Hasher for EverywhereEqual {
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

    #[test]
    fn targets_have_different_keys() {
        let settings = Settings::default();
        let keys = Target::PORTABLE.map(|target| compatibility(&settings, target).unwrap());
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(keys, Target::PORTABLE.map(|target| compatibility(&settings, target).unwrap()));
    }

    #[test]
    fn code_of_this_version_is_told_from_others() {
        let module = crate::module::tests::site(r#"{"abi":1,"built_by":"0.1.0"}"#);
        let settings = Settings { render_memory: 32 << 20, ..Settings::default() };
        for target in Target::PORTABLE.into_iter().chain([Target::Host]) {
            let (mut about, _) = compile(&module, "ssr.wasm", &settings, target).unwrap();
            assert_eq!(about.target().unwrap().name(), target.name());
            assert!(about.is_current(), "{target:?}");
            about.key.engine = "0123456789abcdef".to_owned();
            assert!(!about.is_current(), "{target:?}");
        }
    }

    #[test]
    fn numbers_are_hashed_alike_whatever_their_size_here() {
        let hash = |write: fn(&mut EverywhereEqual)| {
            let mut hasher = EverywhereEqual(Xxh3::new());
            write(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(|h| h.write_usize(7)), hash(|h| h.write(&[7, 0, 0, 0, 0, 0, 0, 0])));
        assert_eq!(hash(|h| h.write_isize(-1)), hash(|h| h.write(&[0xff; 8])));
        assert_eq!(hash(|h| h.write_u32(258)), hash(|h| h.write(&[2, 1, 0, 0])));
    }
}
