//! `ssr image`: a site as an OCI image archive of platform `wasi/wasm`.
//!
//! The module and the assets become one ordinary tar layer in a single manifest,
//! the one form that every engine takes: `ctr image import`, `docker load` and
//! `k3s ctr images import`. Equal input gives equal bytes.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

mod archive;
mod layer;
mod manifest;
mod name;

use archive::Archive;
use manifest::Settings;
use name::ImageName;

/// Arguments of `ssr image`.
#[derive(clap::Args)]
pub struct ImageArgs {
    /// The site's module, made by `ssr build`; /ssr.wasm in the image
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The directory of assets; /dist in the image
    #[arg(long = "static", value_name = "DIR")]
    assets: PathBuf,
    /// The image's name, read as Docker reads it: `site` is
    /// docker.io/library/site:latest
    #[arg(long, value_name = "NAME[:TAG]")]
    tag: String,
    /// The archive to write; - is standard output
    #[arg(short, long, value_name = "FILE.tar")]
    output: PathBuf,
    /// A setting in the image's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The user that the container runs as, by number
    #[arg(long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// A label of the image; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
}

/// Packs the image. Everything is checked and compressed before the first byte
/// of output exists, and a file appears under its name only when it is whole.
pub fn run(args: ImageArgs) -> anyhow::Result<()> {
    let name: ImageName = args.tag.parse()?;
    let settings = Settings {
        env: pairs("--env", &args.env)?,
        labels: pairs("--label", &args.label)?,
        user: args.user.map(user).transpose()?,
        created: source_date_epoch()?,
    };
    let target = Target::new(&args.output, &args.assets)?;
    let layer = layer::build(&args.wasm, &args.assets, settings.created)?;
    let archive = Archive::new(&name, &settings, layer)?;
    eprintln!(
        "{name} (wasi/wasm, {} files, {} KiB compressed, {})",
        archive.files(),
        archive.layer_size().div_ceil(1024),
        archive.digest(),
    );
    target.write(archive)
}

/// Where the archive goes.
enum Target {
    Stdout,
    /// The file, and the directory that holds it.
    File(PathBuf, PathBuf),
}

impl Target {
    fn new(output: &Path, assets: &Path) -> anyhow::Result<Self> {
        if output == Path::new("-") {
            ensure!(
                !std::io::stdout().is_terminal(),
                "-o -: the archive is binary and standard output is a terminal; \
                 redirect it or name a file"
            );
            return Ok(Self::Stdout);
        }
        let directory = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let real = directory.canonicalize().with_context(|| {
            format!("-o {}: its directory {} cannot be used", output.display(), directory.display())
        })?;
        ensure!(!output.is_dir(), "-o {}: this is a directory; name a file in it", output.display());
        // The next run would pack this run's archive.
        if let Ok(assets) = assets.canonicalize() {
            ensure!(
                !real.starts_with(&assets),
                "-o {}: the archive would lie inside the assets; write it elsewhere",
                output.display()
            );
        }
        Ok(Self::File(output.to_owned(), real))
    }

    fn write(self, archive: Archive) -> anyhow::Result<()> {
        let (path, directory) = match self {
            Self::Stdout => {
                return archive
                    .write(std::io::stdout().lock())
                    .context("cannot write the archive to standard output");
            }
            Self::File(path, directory) => (path, directory),
        };
        let cannot = || format!("cannot write {}", path.display());
        let mut file = new_file(&directory).with_context(cannot)?;
        archive.write(file.as_file_mut()).with_context(cannot)?;
        file.persist(&path).with_context(cannot)?;
        Ok(())
    }
}

/// A temporary file beside the result, with the permissions of an ordinary one.
fn new_file(directory: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix(".ssr-image-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(directory)
}

/// Splits `NAME=VALUE` options, refusing what has no name or no value.
fn pairs(option: &str, values: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    values
        .iter()
        .map(|value| match value.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => bail!("{option} {value:?}: expected NAME=VALUE"),
        })
        .collect()
}

/// Checks a user. The image has no /etc/passwd in which to look up a name, and
/// Kubernetes tells only by a number that it is not root.
fn user(value: String) -> anyhow::Result<String> {
    let numbers = value.split(':').all(|id| id.parse::<u32>().is_ok());
    ensure!(
        numbers && value.split(':').count() <= 2,
        "--user {value:?}: expected UID or UID:GID in numbers, such as 65532:65532"
    );
    Ok(value)
}

/// The time that the image and its files bear: SOURCE_DATE_EPOCH where it is
/// set, as in other reproducible builds, and 1970 otherwise.
fn source_date_epoch() -> anyhow::Result<u64> {
    // Past the year 9999 there is no way to write the date into the image.
    const LAST: u64 = 253_402_300_799;
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(0);
    };
    value.to_str().and_then(|value| value.parse().ok()).filter(|seconds| *seconds <= LAST).with_context(
        || format!("SOURCE_DATE_EPOCH={}: expected seconds since 1970, such as 1700000000", value.display()),
    )
}

#[cfg(test)]
mod tests;
