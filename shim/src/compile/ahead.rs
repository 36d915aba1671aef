//! What is known of a module before its container's process asks for its code: it was
//! announced, and starting a process takes longer than this.

use std::fs::File;

use anyhow::{Result, ensure};
use ssr_code_cache::cache::{Code, CodeCache};
use ssr_code_cache::module::{FileState, digest_file, read_file};
use ssr_code_cache::provide;
use ssr_wasm::detect::{self, Kind};

/// A module that was announced.
#[derive(Debug)]
pub struct Ahead {
    file: FileState,
    /// Its SHA-256, in hexadecimal digits.
    pub digest: String,
    /// Its code, if it is a site of one of this program's engines. For others it depends on
    /// who asks.
    pub code: Option<Code>,
}

impl Ahead {
    /// Looks at the file of a module, whose `name` is for people, and adds what a site needs
    /// to the cache. Compiles nothing.
    pub fn of(cache: &CodeCache, module: &File, name: &str) -> Result<Self> {
        let file = FileState::of(module)?;
        let digest = digest_file(module, name)?;
        let mut warnings = Vec::new();
        let code = match provide::find_here(cache, &digest, &[], &mut warnings) {
            // Others run on no engine of this program's: they are not read again for that.
            None if matches!(detect::kind_of(module)?, Ok(Kind::Site(_))) => {
                let module = read_file(module, name)?;
                provide::on_own_engine(cache, &module, name)
            }
            found => found,
        };
        // The file may have been changed meanwhile.
        ensure!(code.as_ref().is_none_or(|code| code.metadata.key.module == digest), "it has changed");
        let code = code.map(|code| Code { warnings, ..code });
        Ok(Self { file, digest, code })
    }

    /// Whether this is the file that was announced, as it was then.
    pub fn is_of(&self, module: &File) -> bool {
        FileState::of(module).is_ok_and(|file| file == self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_known_of_a_file_is_of_no_use_once_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&directory.path().join("cache"), 1 << 20).unwrap();
        let mut module = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(directory.path().join("ssr.wasm"))
            .unwrap();
        module.write_all(b"\0asm\x01\0\0\0").unwrap();
        let ahead = Ahead::of(&cache, &module, "ssr.wasm").unwrap();
        assert_eq!(ahead.digest, ssr_code_cache::module::digest(b"\0asm\x01\0\0\0"));
        assert!(ahead.is_of(&module) && ahead.code.is_none());
        assert!(cache.list().unwrap().is_empty());
        module.write_all(b"\0").unwrap();
        assert!(!ahead.is_of(&module));
    }
}
