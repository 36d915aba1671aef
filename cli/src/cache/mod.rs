//! `ssr cache`: the compiled code kept on a node.

mod add;
mod export;
mod import;
mod key;
pub mod list;
pub mod place;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Subcommand;
use ssr_code_cache::cache::Listed;
use ssr_wasm::target::Target;

use list::{Size, digest};
use place::{Place, advise};

/// Shorter beginnings of a digest are refused.
const MIN_DIGITS: usize = 4;

/// Arguments of `ssr cache`.
#[derive(Debug, clap::Args)]
pub struct CacheArgs {
    /// The cache directory; by default the one in the node's configuration, or that of the containerd found on this
    /// machine (containerd's own, k3s's or Docker's)
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the cached files
    List,
    /// Compile sites before they are started
    Add(add::AddArgs),
    /// Remove the code of some modules
    Remove {
        /// Beginnings of module digests, as shown by `ssr cache list`
        #[arg(value_name = "DIGEST", required = true)]
        modules: Vec<String>,
    },
    /// Remove all cached files
    Clear,
    /// Write compiled code to a signed file for other machines
    Export(export::ExportArgs),
    /// Add compiled code exported on another machine and signed with a key that this node trusts
    Import {
        /// Files written by `ssr cache export`; - for standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the public key of a private key, which is created if it does not exist
    Key {
        /// The private key's file
        #[arg(value_name = "KEYFILE")]
        file: PathBuf,
    },
}

/// Parses the name of a target.
fn target(name: &str) -> Result<Target, String> {
    if let Some(found) = Target::compiled().iter().find(|target| target.name() == name) {
        return Ok(*found);
    }
    let names: Vec<_> = Target::compiled().iter().map(|target| target.name()).collect();
    let (names, elsewhere) = (names.join(", "), "; for other machines, compile on a 64-bit one");
    Err(format!("expected one of {names}{}", if cfg!(target_pointer_width = "32") { elsewhere } else { "" }))
}

/// Runs the command.
pub fn run(args: CacheArgs) -> Result<()> {
    if let Command::Key { file } = &args.command {
        return key::key(file);
    }
    let place = Place::find(args.dir)?;
    match args.command {
        Command::List => list::list(&place),
        Command::Add(args) => add::add(&place, &args),
        Command::Remove { modules } => remove(&place, &modules),
        Command::Clear => clear(&place),
        Command::Export(args) => export::export(&place, &args),
        Command::Import { files } => import::import(&place, &files),
        Command::Key { file } => key::key(&file),
    }
}

fn remove(place: &Place, modules: &[String]) -> Result<()> {
    let cache = place.open()?;
    let entries = cache.list().map_err(advise)?;
    let failures = cache.failures();
    let digests = entries.iter().map(digest).chain(failures.iter().map(|failure| &*failure.module));
    let chosen = choose_digests(&digests.collect::<Vec<_>>(), modules, place)?;
    let (mut count, mut size) = (0, 0);
    for entry in entries.iter().filter(|entry| chosen.contains(&digest(entry))) {
        cache.remove(entry).map_err(advise)?;
        count += 1;
        size += entry.size;
    }
    for failure in failures.iter().filter(|failure| chosen.contains(&&*failure.module)) {
        cache.forget(failure).map_err(advise)?;
        count += 1;
    }
    eprintln!("removed {} ({}) from '{}'", list::files(count), Size(size), place.directory.display());
    Ok(())
}

fn clear(place: &Place) -> Result<()> {
    let (count, size) = match place.exists() {
        true => place.open()?.clear().map_err(advise)?,
        false => (0, 0),
    };
    eprintln!("removed {} ({}) from '{}'", list::files(count), Size(size), place.directory.display());
    Ok(())
}

/// The entries of the modules whose digests start with `beginnings`. Each
/// beginning must match exactly one module.
fn choose<'a>(entries: &'a [Listed], beginnings: &[String], place: &Place) -> Result<Vec<&'a Listed>> {
    let digests: Vec<_> = entries.iter().map(digest).collect();
    let chosen = choose_digests(&digests, beginnings, place)?;
    let of = |chosen: &str| entries.iter().filter(move |entry| digest(entry) == chosen).collect::<Vec<_>>();
    Ok(chosen.into_iter().flat_map(of).collect())
}

/// The digests that start with `beginnings`, each once.
fn choose_digests<'a>(digests: &[&'a str], beginnings: &[String], place: &Place) -> Result<Vec<&'a str>> {
    let mut chosen = Vec::new();
    for beginning in beginnings {
        let digits = beginning.strip_prefix("sha256:").unwrap_or(beginning).to_ascii_lowercase();
        ensure!(
            digits.len() >= MIN_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "'{beginning}' is not a digest: give its first {MIN_DIGITS} or more hexadecimal digits, as shown by \
             `ssr cache list`"
        );
        let found: Vec<_> = digests.iter().filter(|digest| digest.starts_with(&digits)).collect();
        let Some(first) = found.first() else {
            bail!(
                "there is no module '{beginning}' in '{}'; see `ssr cache list`",
                place.directory.display()
            );
        };
        ensure!(
            found.iter().all(|digest| digest == first),
            "several modules in '{}' start with '{beginning}'; give more digits",
            place.directory.display()
        );
        if !chosen.contains(*first) {
            chosen.push(**first);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_after_platforms() {
        assert_eq!(target("arm64"), Ok(Target::Arm64));
        assert_eq!(target("this machine").unwrap_err(), "expected one of amd64, arm64, arm");
    }
}
