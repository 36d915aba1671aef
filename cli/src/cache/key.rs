//! `ssr cache key`: the keys that sign exported code.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use ssr_code_cache::bundle::key::PrivateKey;
use ssr_code_cache::node_config;

use crate::output::atomic_file::AtomicFile;
use crate::output::print;

/// The most bytes read from a key's file.
const MAX_KEY: u64 = 16 << 10;

/// Creates a key unless the file exists, and shows its public key.
pub fn key(path: &Path) -> Result<()> {
    let (key, made) =
        match path.try_exists().with_context(|| format!("cannot look at '{}'", path.display()))? {
            true => (read_key(path)?, false),
            false => (make_key(path)?, true),
        };
    let shown = path.display();
    let (what, file) = (if made { "is a new private key" } else { "is a private key" }, node_config::FILE);
    eprintln!(
        "'{shown}' {what}: keep it secret. Nodes that trust it need this line below [cache] in {file}:"
    );
    print(format!("trusted-keys = [\"{}\"]\n", key.public()).as_bytes())
}

fn make_key(path: &Path) -> Result<PrivateKey> {
    let make = || {
        let key = PrivateKey::generate()?;
        let pem = key.to_pem()?;
        let mut file = AtomicFile::create_private(path)?;
        file.file().write_all(pem.as_bytes())?;
        file.sync_and_keep_existing()?;
        io::Result::Ok(key)
    };
    make().with_context(|| format!("cannot write '{}'", path.display()))
}

/// Reads a private key.
pub fn read_key(path: &Path) -> Result<PrivateKey> {
    let mut pem = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEY).read_to_string(&mut pem));
    read.with_context(|| {
        format!("cannot read the key '{}'; create one with `ssr cache key FILE`", path.display())
    })?;
    PrivateKey::parse(&pem).with_context(|| format!("'{}'", path.display()))
}
