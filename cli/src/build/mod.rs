//! `ssr build`: evaluates a site's JavaScript in the engine guest and snapshots
//! the result into one module.

mod evaluate;
mod explain;
mod snapshot;
mod stack_trace;
mod template;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use ssr_wasm::detect::{ABI_VERSION, SITE_SECTION, SiteSection};
use wasm_encoder::{CustomSection, Section as _};
use wasmtime_wizer::Wizer;

use crate::output::atomic_file::AtomicFile;
use crate::progress::Progress;
use evaluate::{Bundle, Evaluation};
use snapshot::InstanceMemory;

/// The engine guest, which scripts/build-engine.sh builds. A build of the crate
/// for development may lack it.
#[cfg(has_engine)]
const ENGINE: Option<&[u8]> = Some(include_bytes!(env!("SSR_ENGINE_WASM")));
#[cfg(not(has_engine))]
const ENGINE: Option<&[u8]> = None;

/// Arguments of `ssr build`.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The site's server bundle: a single ES module with all dependencies bundled
    #[arg(value_name = "ENTRY.js")]
    entry: PathBuf,
    /// The module to write
    #[arg(short, long, value_name = "FILE", default_value = "ssr.wasm")]
    output: PathBuf,
    /// The built index.html; pages are inserted at <!--ssr-outlet--> or <!--app-html-->
    #[arg(long, value_name = "index.html")]
    template: Option<PathBuf>,
    /// The template's element that gets the page, if it has none of these comments
    #[arg(long, value_name = "#ID", requires = "template")]
    outlet: Option<String>,
}

/// Builds the module. Writes nothing unless every step succeeds.
pub fn run(args: &BuildArgs) -> Result<()> {
    let started = Instant::now();
    let source = read(&args.entry, "the entry module")?;
    let template = args.template.as_deref().map(|path| {
        let text = read(path, "the template")?;
        template::with_outlet(path, text, args.outlet.as_deref())
    });
    let template = template.transpose()?;
    let name = args.entry.file_name().map_or_else(|| "entry.js".into(), |name| name.to_string_lossy());
    let date = date(&args.entry)?;
    let Some(engine) = ENGINE else {
        bail!(
            "this ssr was built without the JavaScript engine: run scripts/build-engine.sh and build ssr again"
        );
    };
    let progress = Progress::start();

    progress.stage("preparing the engine");
    let mut wizer = Wizer::new();
    wizer.init_func("ssr_init");
    let (context, instrumented) = wizer.instrument(engine).map_err(anyhow::Error::msg)?;
    let evaluation = Evaluation::prepare(&instrumented, date)?;

    progress.stage(&format!("evaluating {name}"));
    let bundle = Bundle { name: &name, source: &source, template: template.as_deref() };
    let (mut store, instance) =
        evaluation.run(&bundle)?.map_err(|error| explain::stopped(&error, &args.entry))?;
    if let Some(failure) = store.data_mut().take_failure() {
        drop(progress);
        bail!(explain::thrown(&failure, &args.entry, &source));
    }

    progress.stage("taking the snapshot");
    let mut memory = InstanceMemory { store: &mut store, instance };
    let mut module = futures_util::FutureExt::now_or_never(wizer.snapshot(&context, &mut memory))
        .context("the snapshot did not complete synchronously")?
        .map_err(anyhow::Error::msg)?;
    let section = SiteSection { abi: ABI_VERSION, built_by: env!("CARGO_PKG_VERSION").to_owned() };
    let section = serde_json::to_vec(&section)?;
    CustomSection { name: SITE_SECTION.into(), data: (&section).into() }.append_to(&mut module);
    write(&args.output, &module)?;
    drop(progress);
    eprintln!(
        "{}: {:.2} MB, from {} ({} kB), in {:.1} s",
        args.output.display(),
        module.len() as f64 / 1e6,
        args.entry.display(),
        source.len().div_ceil(1000),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The date that the site's code sees while it loads, in nanoseconds since 1970:
/// SOURCE_DATE_EPOCH if set (reproducible-builds.org), otherwise the bundle's
/// modification time. So equal input gives equal bytes.
fn date(entry: &Path) -> Result<u64> {
    let seconds: u64 = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().ok().with_context(|| {
            format!("SOURCE_DATE_EPOCH: invalid value '{text}'; expected seconds since 1970")
        })?,
        Err(_) => {
            let modified = fs::metadata(entry).and_then(|data| data.modified());
            let modified = modified.with_context(|| format!("cannot read '{}'", entry.display()))?;
            modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
        }
    };
    Ok(seconds.saturating_mul(1_000_000_000))
}

fn read(path: &Path, what: &str) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {what} '{}'", path.display()))?;
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let before = &bytes[..at];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        bail!(
            "{what} '{}' has a NUL byte in line {line}, column {column}; write \\0 in a string, or build the bundle again",
            path.display()
        );
    }
    String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{what} '{}' is not UTF-8 text: is it a JavaScript file?", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    AtomicFile::create(path)
        .and_then(|mut file| {
            file.file().write_all(bytes)?;
            file.replace()
        })
        .with_context(|| format!("cannot write '{}'", path.display()))
}
