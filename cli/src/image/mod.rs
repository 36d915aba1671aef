//! `ssr image`: a site as an OCI image archive of platform `wasi/wasm`.
//!
//! The module and the assets become one ordinary tar layer in a single manifest,
//! the form that every engine accepts: `ctr image import`, `docker load` and
//! `k3s ctr images import`. Equal input gives equal bytes.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

mod archive;
mod layer;
mod manifest;
mod name;

use crate::output::Output;
use archive::Archive;
use manifest::ImageOptions;
pub use name::ImageName;

/// Arguments of `ssr image`.
#[derive(clap::Args)]
pub struct ImageArgs {
    /// The site's module, built by `ssr build`; becomes /ssr.wasm in the image
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The directory of assets; becomes /dist in the image
    #[arg(long = "static", value_name = "DIR")]
    assets: PathBuf,
    /// The image's name, completed as Docker does it: `site` means
    /// docker.io/library/site:latest
    #[arg(long, value_name = "NAME[:TAG]")]
    tag: String,
    /// The archive to write; - for standard output
    #[arg(short, long, value_name = "FILE.tar")]
    output: PathBuf,
    /// An environment variable of the image; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The user, and group, that the container runs as, in numbers
    #[arg(long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// An image label; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
}

/// Packs the image. Everything is checked and compressed before any output is
/// written, and a file appears under its name only when it is complete.
pub fn run(args: ImageArgs) -> anyhow::Result<()> {
    let name = ImageName::parse("--tag ", &args.tag)?;
    let options = ImageOptions {
        env: pairs("--env", &args.env)?,
        labels: pairs("--label", &args.label)?,
        user: args.user.map(user).transpose()?,
        created: source_date_epoch()?,
    };
    let output = Output::new(&args.output, "the archive")?;
    // The next run would pack this run's archive.
    if let (Output::File { directory, .. }, Ok(assets)) = (&output, args.assets.canonicalize()) {
        ensure!(
            !directory.starts_with(&assets),
            "-o {}: the archive would be inside the assets; write it elsewhere",
            args.output.display()
        );
    }
    let layer = layer::build(&args.wasm, &args.assets, options.created)?;
    let archive = Archive::new(&name, &options, layer)?;
    eprintln!(
        "{name} (wasi/wasm, {} files, {} KiB compressed, {})",
        archive.files(),
        archive.layer_size().div_ceil(1024),
        archive.digest(),
    );
    output.write(|to| archive.write(to))
}

/// Splits `NAME=VALUE` options. A name and `=` are required.
fn pairs(option: &str, values: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    values
        .iter()
        .map(|value| match value.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => bail!("{option} {value:?}: expected NAME=VALUE"),
        })
        .collect()
}

/// Checks a user. The image has no /etc/passwd for looking up a name, and
/// Kubernetes can only tell from a number that it is not root.
fn user(value: String) -> anyhow::Result<String> {
    let numbers = value.split(':').all(|id| id.parse::<u32>().is_ok());
    ensure!(
        numbers && value.split(':').count() <= 2,
        "--user {value:?}: expected UID or UID:GID in numbers, such as 65532:65532"
    );
    Ok(value)
}

/// The time stamp of the image and its files, in seconds since 1970:
/// SOURCE_DATE_EPOCH if set, as in other reproducible builds, otherwise 0.
fn source_date_epoch() -> anyhow::Result<u64> {
    // The image's date format ends with the year 9999.
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
