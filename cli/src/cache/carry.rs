//! Carrying compiled code to other machines: keys, export, import.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use ssr_server::code_cache::Listed;
use ssr_server::code_cache::transfer::key::{PrivateKey, PublicKey};
use ssr_server::code_cache::transfer::{self, TransferError};
use ssr_server::compile::About;
use ssr_server::engine::Target;
use ssr_server::node_config;

use super::list::{Size, plain, short};
use super::place::{Place, advise};

/// Longer than any key's file, in bytes.
const MOST_KEY: u64 = 16 << 10;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The private key to sign with; `ssr cache key` makes one
    #[arg(long, value_name = "KEYFILE")]
    sign: PathBuf,
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "ssr.export")]
    output: PathBuf,
    /// Code for these machines alone: amd64, arm64 or arm; may be repeated
    #[arg(long = "target", value_name = "TARGET", value_parser = super::target, value_delimiter = ',')]
    targets: Vec<Target>,
    /// Code of these modules alone: beginnings of their digests, as `ssr cache list` shows them
    #[arg(value_name = "DIGEST")]
    modules: Vec<String>,
}

/// `ssr cache key`: makes a key, unless it is there, and shows its public key.
pub fn key(path: &Path) -> Result<()> {
    let (key, made) =
        match path.try_exists().with_context(|| format!("cannot look at '{}'", path.display()))? {
            true => (read_key(path)?, false),
            false => (make_key(path)?, true),
        };
    let shown = path.display();
    let (what, file) = (if made { "is a new private key" } else { "is a private key" }, node_config::FILE);
    eprintln!(
        "'{shown}' {what}: keep it to yourself. Who is to trust it needs this line in {file}, below [cache]:"
    );
    writeln!(io::stdout(), "trusted-keys = [\"{}\"]", key.public()).context("cannot write to standard output")
}

fn make_key(path: &Path) -> Result<PrivateKey> {
    let make = || {
        let key = PrivateKey::generate()?;
        let pem = key.to_pem()?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Nobody else can read it at any time, and nothing is replaced.
        let mut file = tempfile::Builder::new().prefix(".ssr-key-").tempfile_in(directory)?;
        file.write_all(pem.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        io::Result::Ok(key)
    };
    make().with_context(|| format!("cannot write '{}'", path.display()))
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    let mut pem = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_KEY).read_to_string(&mut pem));
    read.with_context(|| {
        format!("cannot read the key '{}'; `ssr cache key FILE` makes one", path.display())
    })?;
    PrivateKey::parse(&pem).with_context(|| format!("'{}'", path.display()))
}

/// `ssr cache export`.
pub fn export(place: &Place, args: &ExportArgs) -> Result<()> {
    let key = read_key(&args.sign)?;
    let output = Output::new(&args.output)?;
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
        size <= transfer::MOST_ENTRIES,
        "{} are too many for one file, which holds {}; choose by --target or by digests",
        Size(size),
        Size(transfer::MOST_ENTRIES)
    );
    let mut packed = Vec::new();
    for (entry, about) in &chosen {
        let bytes = File::open(&entry.path).map_err(Into::into).and_then(transfer::read_entry);
        packed.push(bytes.with_context(|| {
            let digest = short(&about.key.module);
            format!(
                "'{}' cannot be exported; `ssr cache remove {digest}`, and add it again",
                entry.path.display()
            )
        })?);
    }
    let file = transfer::pack(&packed, &key);
    output.write(&file)?;
    for (entry, about) in &chosen {
        eprintln!("{}: {}", describe(about), Size(entry.size));
    }
    eprintln!(
        "{}: {}, signed with the key '{}'",
        args.output.display(),
        Size(file.len() as u64),
        key.public()
    );
    Ok(())
}

/// What other machines can run. Everything that was asked for is among it.
fn portable<'a>(
    all: &[&'a Listed],
    args: &ExportArgs,
    place: &Place,
) -> Result<Vec<(&'a Listed, &'a About)>> {
    let usable = all.iter().filter_map(|entry| Some((*entry, entry.about.as_ref().ok()?)));
    let usable: Vec<_> = usable.filter(|(_, about)| about.is_current()).collect();
    let wanted = |target: Option<Target>| match (target, &args.targets[..]) {
        (None | Some(Target::Host), _) => false,
        (Some(_), []) => true,
        (Some(target), targets) => targets.contains(&target),
    };
    let chosen: Vec<_> = usable.iter().copied().filter(|(_, about)| wanted(about.target())).collect();
    let directory = place.directory.display();
    for target in &args.targets {
        if chosen.iter().all(|(_, about)| about.target() != Some(*target)) {
            let name = target.name();
            bail!(
                "there is no code for {name} in '{directory}'; make it with `ssr cache add --target {name} site.tar`"
            );
        }
    }
    if let Some((_, about)) = usable.iter().find(|(_, about)| {
        let asked_for = !args.modules.is_empty() || chosen.is_empty();
        asked_for && chosen.iter().all(|(_, other)| other.key.module != about.key.module)
    }) {
        bail!(
            "the code of {} ({}) in '{directory}' is for {} and is not exported; make some for other machines with \
             `ssr cache add --target arm64 site.tar`",
            plain(&about.name),
            short(&about.key.module),
            match about.target() {
                Some(Target::Host) | None => "this machine's very processor",
                Some(target) => target.name(),
            },
        );
    }
    ensure!(
        !chosen.is_empty(),
        "there is nothing in '{directory}' that can be exported; make it with \
         `ssr cache add --target arm64 site.tar`"
    );
    Ok(chosen)
}

fn describe(about: &About) -> String {
    format!("{} ({}) for {}", plain(&about.name), short(&about.key.module), about.target)
}

/// Where an export goes. Looked at before anything is done.
enum Output<'a> {
    Stdout,
    File(&'a Path),
}

impl<'a> Output<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        if path == Path::new("-") {
            ensure!(
                !io::stdout().is_terminal(),
                "-o -: compiled code is binary and standard output is a terminal; redirect it or name a file"
            );
            return Ok(Self::Stdout);
        }
        let other = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        ensure!(!other, "-o {}: this is no ordinary file; name another", path.display());
        Ok(Self::File(path))
    }

    /// A file is there as a whole, or not at all.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        let path = match self {
            Self::Stdout => {
                return io::stdout().write_all(bytes).context("cannot write to standard output");
            }
            Self::File(path) => path,
        };
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mode = fs::Permissions::from_mode(0o666);
            let mut builder = tempfile::Builder::new();
            let mut file = builder.prefix(".ssr-export-").permissions(mode).tempfile_in(directory)?;
            file.write_all(bytes)?;
            file.persist(path)?;
            io::Result::Ok(())
        };
        write().with_context(|| format!("cannot write '{}'", path.display()))
    }
}

/// `ssr cache import`.
pub fn import(place: &Place, files: &[PathBuf]) -> Result<()> {
    let trusted = trusted_keys(&place.trusted_keys)?;
    for path in files {
        let file = read_export(path)?;
        let cache = place.open()?;
        let imported = match transfer::import(&cache, &file, &trusted) {
            Ok(imported) => imported,
            Err(TransferError::Cache(error)) => return Err(advise(error)),
            Err(error) => bail!("'{}' is not imported: {error}", path.display()),
        };
        for (about, size) in &imported.added {
            eprintln!("{}: {}, in '{}'", describe(about), Size(*size), cache.dir().display());
        }
        for about in &imported.skipped {
            eprintln!("{}: left out, it is for other machines", describe(about));
        }
    }
    Ok(())
}

/// The keys of the node's configuration.
fn trusted_keys(texts: &[String]) -> Result<Vec<PublicKey>> {
    let file = std::env::var_os(node_config::VARIABLE).unwrap_or_else(|| node_config::FILE.into());
    let file = Path::new(&file).display();
    ensure!(
        !texts.is_empty(),
        "this node trusts nobody's compiled code; put the public key that `ssr cache key KEYFILE` prints on the \
         machine that signs into '{file}':\n[cache]\ntrusted-keys = [\"…\"]"
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
    from.take(transfer::MOST as u64 + 1)
        .read_to_end(&mut file)
        .with_context(|| format!("cannot read '{shown}'"))?;
    ensure!(
        file.len() <= transfer::MOST,
        "'{shown}' is not imported: it has more than {}",
        Size(transfer::MOST as u64)
    );
    Ok(file)
}
