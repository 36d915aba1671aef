//! `ssr cache export`: compiled code in a signed file, for other machines.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use ssr_code_cache::bundle;
use ssr_code_cache::cache::Listed;
use ssr_code_cache::metadata::EntryMetadata;
use ssr_wasm::target::Target;

use super::key::read_key;
use super::list::{Size, describe, plain, short};
use super::place::{Place, advise};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The private key to sign with, created by `ssr cache key`
    #[arg(long, value_name = "KEYFILE")]
    sign: PathBuf,
    /// The file to write; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "ssr.export")]
    output: PathBuf,
    /// Export only code for these machines: amd64, arm64 or arm; may be repeated
    #[arg(long = "target", value_name = "TARGET", value_parser = super::target, value_delimiter = ',')]
    targets: Vec<Target>,
    /// Export only the code of these modules: beginnings of their digests, as shown by `ssr cache list`
    #[arg(value_name = "DIGEST")]
    modules: Vec<String>,
}

/// Writes the chosen code, signed.
pub fn export(place: &Place, args: &ExportArgs) -> Result<()> {
    let key = read_key(&args.sign)?;
    let output = Output::new(&args.output, "compiled code")?;
    let entries = match place.exists() {
        true => place.open()?.list().map_err(advise)?,
        false => Vec::new(),
    };
    let all: Vec<&Listed> = match args.modules.is_empty() {
        true => entries.iter().collect(),
        false => super::choose(&entries, &args.modules, place)?,
    };
    let chosen = portable(&all, args, place)?;
    let size: u64 = chosen.iter().map(|(entry, _)| entry.size).sum();
    ensure!(
        size <= bundle::MAX_ENTRIES_SIZE,
        "{} do not fit into one file, which holds at most {}; choose with --target or digests",
        Size(size),
        Size(bundle::MAX_ENTRIES_SIZE)
    );
    let mut packed = Vec::new();
    for (entry, metadata) in &chosen {
        let bytes = File::open(&entry.path).map_err(Into::into).and_then(bundle::read_entry);
        packed.push(bytes.with_context(|| {
            let digest = short(&metadata.key.module);
            format!(
                "'{}' cannot be exported; remove it with `ssr cache remove {digest}` and add it again",
                entry.path.display()
            )
        })?);
    }
    let file = bundle::pack(&packed, &key);
    output.write(|to| Ok(to.write_all(&file)?))?;
    for (entry, metadata) in &chosen {
        eprintln!("{}: {}", describe(metadata), Size(entry.size));
    }
    eprintln!(
        "{}: {}, signed with the key '{}'",
        args.output.display(),
        Size(file.len() as u64),
        key.public()
    );
    Ok(())
}

/// The entries that other machines can run. Fails if something that was asked for
/// is missing.
fn portable<'a>(
    all: &[&'a Listed],
    args: &ExportArgs,
    place: &Place,
) -> Result<Vec<(&'a Listed, &'a EntryMetadata)>> {
    let usable = all.iter().filter_map(|entry| Some((*entry, entry.metadata.as_ref().ok()?)));
    let usable: Vec<_> = usable.filter(|(_, metadata)| metadata.is_current()).collect();
    let wanted = |target: Option<Target>| match (target, &args.targets[..]) {
        (None | Some(Target::Host), _) => false,
        (Some(_), []) => true,
        (Some(target), targets) => targets.contains(&target),
    };
    let chosen: Vec<_> = usable.iter().copied().filter(|(_, metadata)| wanted(metadata.target())).collect();
    let directory = place.directory.display();
    for target in &args.targets {
        if chosen.iter().all(|(_, metadata)| metadata.target() != Some(*target)) {
            let name = target.name();
            bail!(
                "there is no code for {name} in '{directory}'; add it with `ssr cache add --target {name} site.tar`"
            );
        }
    }
    if let Some((_, metadata)) = usable.iter().find(|(_, metadata)| {
        let asked_for = !args.modules.is_empty() || chosen.is_empty();
        asked_for && chosen.iter().all(|(_, other)| other.key.module != metadata.key.module)
    }) {
        bail!(
            "the code of {} ({}) in '{directory}' is for {} and is not exported; add code for other machines with \
             `ssr cache add --target arm64 site.tar`",
            plain(&metadata.name),
            short(&metadata.key.module),
            match metadata.target() {
                Some(Target::Host) | None => "this machine's processor only",
                Some(target) => target.name(),
            },
        );
    }
    ensure!(
        !chosen.is_empty(),
        "there is nothing to export in '{directory}'; add code for other machines with \
         `ssr cache add --target arm64 site.tar`"
    );
    Ok(chosen)
}
