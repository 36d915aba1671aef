//! `ssr cache import`: adds compiled code that another machine has signed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use ssr_code_cache::bundle::key::PublicKey;
use ssr_code_cache::bundle::{self, BundleError};
use ssr_code_cache::node_config;

use super::list::{Size, describe};
use super::place::{Place, advise};

/// Imports the files. Each is checked against the node's trusted keys.
pub fn import(place: &Place, files: &[PathBuf]) -> Result<()> {
    let trusted = trusted_keys(&place.trusted_keys)?;
    for path in files {
        let file = read_export(path)?;
        let cache = place.open_for_adding()?;
        let imported = match bundle::import(&cache, &file, &trusted) {
            Ok(imported) => imported,
            Err(BundleError::Cache(error)) => return Err(advise(error)),
            Err(error) => bail!("'{}' is not imported: {error}", path.display()),
        };
        for (metadata, size) in &imported.added {
            eprintln!("{}: {}, in '{}'", describe(metadata), Size(*size), cache.dir().display());
        }
        for metadata in &imported.skipped {
            eprintln!("{}: skipped, it is for other machines", describe(metadata));
        }
    }
    Ok(())
}

/// The keys in the node's configuration.
fn trusted_keys(texts: &[String]) -> Result<Vec<PublicKey>> {
    let file = std::env::var_os(node_config::FILE_VARIABLE).unwrap_or_else(|| node_config::FILE.into());
    let file = Path::new(&file).display();
    ensure!(
        !texts.is_empty(),
        "this node trusts no key for compiled code; add the public key that `ssr cache key KEYFILE` prints on the \
         signing machine to '{file}':\n[cache]\ntrusted-keys = [\"…\"]"
    );
    let keys = texts.iter().map(|text| PublicKey::parse(text));
    keys.collect::<Result<_, _>>().with_context(|| format!("'{file}': trusted-keys"))
}

fn read_export(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let from: Box<dyn io::Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).with_context(|| format!("cannot read '{shown}'"))?),
    };
    let mut file = Vec::new();
    from.take(bundle::MAX_SIZE as u64 + 1)
        .read_to_end(&mut file)
        .with_context(|| format!("cannot read '{shown}'"))?;
    ensure!(
        file.len() <= bundle::MAX_SIZE,
        "'{shown}' is not imported: it is larger than {}",
        Size(bundle::MAX_SIZE as u64)
    );
    Ok(file)
}
