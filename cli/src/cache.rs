//! `ssr cache`: what a node keeps of compiled code.

mod carry;
mod image;
mod list;
mod place;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use ssr_server::code_cache::{self, CodeCache, Listed, Wanted};
use ssr_server::engine::Target;
use ssr_server::settings::{Setting, Settings, TABLE};

use crate::progress::Progress;
use image::{Image, Module};
use list::{Size, digest, plain, short};
use place::{Place, advise};

/// Fewer digits of a digest name nothing.
const FEWEST_DIGITS: usize = 4;

/// Arguments of `ssr cache`.
#[derive(Debug, clap::Args)]
pub struct CacheArgs {
    /// The cache's directory; otherwise the one that the node's configuration names, or that of the containerd
    /// (k3s, Docker) that is found
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is there
    List,
    /// Compile sites before they are started
    Add(AddArgs),
    /// Remove the code of some modules
    Remove {
        /// Beginnings of modules' digests, as `ssr cache list` shows them
        #[arg(value_name = "DIGEST", required = true)]
        modules: Vec<String>,
    },
    /// Remove everything
    Clear,
    /// Write compiled code into a signed file, for other machines
    Export(carry::ExportArgs),
    /// Add compiled code that was exported elsewhere and signed with a key that this node trusts
    Import {
        /// What `ssr cache export` has written; - is standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the public key of the key to sign with, which is made if it is not there
    Key {
        /// The private key's file
        #[arg(value_name = "KEYFILE")]
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Images' archives, as `ssr image` and `docker save` write them, or modules
    #[arg(value_name = "IMAGE.tar|ssr.wasm", required = true)]
    files: Vec<PathBuf>,
    /// For which machines, instead of this one alone: amd64, arm64 or arm; may be repeated
    #[arg(long = "target", value_name = "TARGET", value_parser = target, value_delimiter = ',')]
    targets: Vec<Target>,
    /// SSR_RENDER_MEMORY of the containers, where the image does not say it; code for arm depends on it
    #[arg(long, value_name = "SIZE")]
    render_memory: Option<String>,
}

/// A target by its name.
fn target(name: &str) -> Result<Target, String> {
    let found = Target::PORTABLE.into_iter().find(|target| target.name() == name);
    found.ok_or_else(|| format!("it takes {}", Target::PORTABLE.map(Target::name).join(", ")))
}

/// Does what the command says.
pub fn run(args: CacheArgs) -> Result<()> {
    if let Command::Key { file } = &args.command {
        return carry::key(file);
    }
    let place = Place::find(args.dir)?;
    match args.command {
        Command::List => list::list(&place),
        Command::Add(args) => add(&place, &args),
        Command::Remove { modules } => remove(&place, &modules),
        Command::Clear => clear(&place),
        Command::Export(args) => carry::export(&place, &args),
        Command::Import { files } => carry::import(&place, &files),
        Command::Key { file } => carry::key(&file),
    }
}

fn add(place: &Place, args: &AddArgs) -> Result<()> {
    // All are read before the first is compiled.
    let images = args.files.iter().map(|file| {
        let image = image::read(file)?;
        let settings = settings(&image, file, args.render_memory.as_deref())?;
        Ok((image.modules, settings))
    });
    let images: Vec<(Vec<Module>, Vec<Settings>)> = images.collect::<Result<_>>()?;
    let cache = place.open()?;
    let targets = if args.targets.is_empty() { &[Target::Host] } else { &args.targets[..] };
    for (modules, settings) in &images {
        for module in modules {
            for target in targets {
                let which = if target.has_32_bits() { &settings[..] } else { &settings[..1] };
                for settings in which {
                    add_one(&cache, module, settings, *target)?;
                }
            }
        }
    }
    Ok(())
}

fn add_one(cache: &CodeCache, module: &Module, settings: &Settings, target: Target) -> Result<()> {
    let started = Instant::now();
    let mut progress = None;
    let name = plain(&module.name);
    let wanted = Wanted { module: &module.bytes, name: &module.name, settings };
    let code = code_cache::add(cache, &wanted, target, || {
        progress.insert(Progress::start()).stage(&format!("compiling {name} for {}", target.name()));
    });
    drop(progress);
    let code = match code {
        Ok(code) => code,
        Err(code_cache::AddError::Cache(error)) => return Err(advise(error)),
        Err(error) => bail!("{name}: {error}"),
    };
    for warning in &code.warnings {
        eprintln!("warning: {warning}");
    }
    let how = match code.compiled {
        true => format!("compiled in {:.1} s", started.elapsed().as_secs_f64()),
        false => "is there already".to_owned(),
    };
    let size = Size(code.file.metadata().map_or(0, |metadata| metadata.len()));
    let digest = short(&code.about.key.module);
    eprintln!("{name} ({digest}) for {}: {size}, {how}, in '{}'", code.about.target, cache.dir().display());
    Ok(())
}

/// How an image's sites are served, as far as it matters to compiled code: more
/// than one way if an archive holds several images. Never empty.
fn settings(image: &Image, file: &Path, given: Option<&str>) -> Result<Vec<Settings>> {
    let row: Option<&Setting> = TABLE.iter().find(|setting| setting.flag == "render-memory");
    let row = row.context("there is no setting render-memory")?;
    let with = |name: &str, value: &str| {
        let mut settings = Settings { render_threads: 1, ..Settings::default() };
        settings.set(row, name, value)?;
        anyhow::Ok(settings)
    };
    if let Some(value) = given {
        return Ok(vec![with("--render-memory", value)?]);
    }
    let name = format!("{} in '{}'", row.variable, file.display());
    match image.render_memory.is_empty() {
        true => Ok(vec![with(&name, row.default)?]),
        false => image.render_memory.iter().map(|value| with(&name, value)).collect(),
    }
}

fn remove(place: &Place, modules: &[String]) -> Result<()> {
    let cache = place.open()?;
    let entries = cache.list().map_err(advise)?;
    let chosen = choose(&entries, modules, place)?;
    let mut size = 0;
    for entry in &chosen {
        match std::fs::remove_file(&entry.path) {
            // The shim may have made room meanwhile.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove '{}'", entry.path.display()));
            }
            _ => size += entry.size,
        }
    }
    eprintln!("removed {} ({}) from '{}'", list::files(chosen.len()), Size(size), place.directory.display());
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

/// The entries of modules whose digests begin in a way that no other's does.
fn choose<'a>(entries: &'a [Listed], beginnings: &[String], place: &Place) -> Result<Vec<&'a Listed>> {
    let mut chosen: Vec<&Listed> = Vec::new();
    for beginning in beginnings {
        let wanted = beginning.strip_prefix("sha256:").unwrap_or(beginning).to_ascii_lowercase();
        ensure!(
            wanted.len() >= FEWEST_DIGITS && wanted.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "'{beginning}' is no digest: give its first {FEWEST_DIGITS} hexadecimal digits or more, as \
             `ssr cache list` shows them"
        );
        let found: Vec<_> = entries.iter().filter(|entry| digest(entry).starts_with(&wanted)).collect();
        let Some(first) = found.first() else {
            bail!(
                "there is no module '{beginning}' in '{}'; see `ssr cache list`",
                place.directory.display()
            );
        };
        ensure!(
            found.iter().all(|entry| digest(entry) == digest(first)),
            "several modules in '{}' begin with '{beginning}'; give more digits",
            place.directory.display()
        );
        let new = found.into_iter().filter(|entry| chosen.iter().all(|other| other.path != entry.path));
        chosen.extend(new.collect::<Vec<_>>());
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_the_names_of_platforms() {
        assert_eq!(target("arm64"), Ok(Target::Arm64));
        assert_eq!(target("this machine").unwrap_err(), "it takes amd64, arm64, arm");
    }

    #[test]
    fn the_memory_of_renders_comes_from_the_flag_or_the_image_or_is_the_default() {
        let mut image = Image::default();
        let of = |image: &Image, given| {
            let settings = settings(image, Path::new("site.tar"), given)?;
            anyhow::Ok(settings.iter().map(|settings| settings.render_memory >> 20).collect::<Vec<_>>())
        };
        assert_eq!(of(&image, None).unwrap(), [128]);
        image.render_memory.extend(["32MiB".to_owned(), "64MiB".to_owned()]);
        assert_eq!(of(&image, None).unwrap(), [32, 64]);
        assert_eq!(of(&image, Some("16MiB")).unwrap(), [16]);
        assert!(of(&image, Some("much")).unwrap_err().to_string().starts_with("--render-memory: 'much'"));
        image.render_memory.insert("little".to_owned());
        let error = of(&image, None).unwrap_err().to_string();
        assert!(error.starts_with("SSR_RENDER_MEMORY in 'site.tar': 'little'"), "{error}");
    }
}
