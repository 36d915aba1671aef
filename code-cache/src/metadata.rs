//! What a file of compiled code says about itself.

use serde::{Deserialize, Serialize};
use ssr_wasm::compile::{self, Compiled};
use ssr_wasm::detect::Kind;
use ssr_wasm::interrupt::Interruption;
use ssr_wasm::limits::DEFAULT_RENDER_MEMORY_LIMIT;
use ssr_wasm::own_engines;
use ssr_wasm::target::Target;

use crate::module::digest;

/// Names compiled code: equal for equal modules and engines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of the module, in hexadecimal digits.
    pub module: String,
    /// The engine, as [`compile::compatibility`] names it.
    pub engine: String,
}

/// What code is for and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMetadata {
    /// Its name in the cache.
    pub key: Key,
    /// The file name of the module, without its directory: for people.
    pub name: String,
    /// The name of the target it was compiled for.
    pub target: String,
    /// The memory limit of a render in bytes; `None` on 64-bit targets, whose code does
    /// not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_memory_limit: Option<usize>,
    /// How its renders are to be interrupted.
    pub interruption: Interruption,
    /// What the module is.
    #[serde(flatten)]
    pub kind: Kind,
}

impl EntryMetadata {
    /// Describes code that was compiled from `module`, for a target and a memory limit of
    /// renders in bytes.
    pub fn of(
        compiled: &Compiled,
        module: &[u8],
        name: &str,
        target: Target,
        render_memory_limit: usize,
    ) -> Self {
        Self {
            key: Key { module: digest(module), engine: compiled.engine.clone() },
            name: name.to_owned(),
            target: target.name().to_owned(),
            render_memory_limit: target.is_32_bit().then_some(render_memory_limit),
            interruption: compiled.interruption,
            kind: compiled.kind.clone(),
        }
    }

    /// The target, if this version knows it.
    pub fn target(&self) -> Option<Target> {
        let mut all = Target::PORTABLE.into_iter().chain([Target::Host]);
        all.find(|target| target.name() == self.target)
    }

    /// Whether it is what a site adds to an engine that this program has.
    pub fn is_on_own_engine(&self) -> bool {
        own_engines::with_id(&self.key.engine).is_some()
    }

    /// Whether this program has the engine, or this version's compiler made the code (for
    /// [`Target::Host`]: on a machine like this one).
    pub fn is_current(&self) -> bool {
        if self.is_on_own_engine() {
            return true;
        }
        let limit = self.render_memory_limit.unwrap_or(DEFAULT_RENDER_MEMORY_LIMIT);
        let engine = self.target().and_then(|target| compile::compatibility(target, limit).ok());
        engine.is_some_and(|engine| engine == self.key.engine)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest site.
    pub(crate) fn site() -> Vec<u8> {
        let section = wasm_encoder::CustomSection {
            name: ssr_wasm::detect::SITE_SECTION.into(),
            data: br#"{"abi":1,"built_by":"0.1.0"}"#.into(),
        };
        let mut module = wasm_encoder::Module::new();
        module.section(&section);
        module.finish()
    }

    /// The smallest site, compiled.
    pub(crate) fn compiled(target: Target, render_memory_limit: usize) -> (EntryMetadata, Vec<u8>) {
        let module = site();
        let compiled = compile::compile(&module, "ssr.wasm", target, render_memory_limit).unwrap();
        (EntryMetadata::of(&compiled, &module, "ssr.wasm", target, render_memory_limit), compiled.code)
    }

    #[test]
    fn code_of_this_version_is_told_from_that_of_others() {
        for target in Target::PORTABLE.into_iter().chain([Target::Host]) {
            let (mut metadata, _) = compiled(target, 32 << 20);
            assert_eq!(metadata.target().unwrap().name(), target.name());
            assert!(metadata.is_current(), "{target:?}");
            metadata.key.engine = "0123456789abcdef".to_owned();
            assert!(!metadata.is_current(), "{target:?}");
        }
    }
}
