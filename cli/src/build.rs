//! `ssr build`: a site's JavaScript, evaluated in the engine guest and
//! snapshotted to one module.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use ssr_server::guest::{self, Failure, GuestState, Stop};
use ssr_server::module::{ABI_VERSION, SECTION, SiteSection};
use ssr_server::render::put;
use ssr_server::time_limit::Epochs;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, Trap};
use wasmtime_wizer::Wizer;

use crate::progress::Progress;
use crate::snapshot::{InstanceMemory, with_custom_section};
use crate::stack_trace::StackTrace;

/// The engine guest, built by scripts/build-engine.sh.
const ENGINE: &[u8] = include_bytes!(env!("SSR_ENGINE_WASM"));

/// The longest that a site's module may take to load.
const TIME_TO_LOAD: Duration = Duration::from_secs(60);

/// The most memory that a site's module may have taken when it is loaded.
const MEMORY_TO_LOAD: usize = 1 << 30;

/// Stack for WebAssembly frames while the module loads.
const STACK_TO_LOAD: usize = 1 << 20;

/// Arguments of `ssr build`.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The site's server bundle: one ES module with everything in it
    #[arg(value_name = "ENTRY.js")]
    entry: PathBuf,
    /// Where the module goes
    #[arg(short, long, value_name = "FILE", default_value = "ssr.wasm")]
    output: PathBuf,
    /// The built index.html into which pages are put, at <!--ssr-outlet--> or <!--app-html-->
    #[arg(long, value_name = "index.html")]
    template: Option<PathBuf>,
}

/// Builds the module. Writes nothing unless all went well.
pub fn run(args: &BuildArgs) -> Result<()> {
    let started = Instant::now();
    let source = read(&args.entry, "the entry module")?;
    let template = args.template.as_deref().map(|path| read(path, "the template")).transpose()?;
    let name = args.entry.file_name().map_or_else(|| "entry.js".into(), |name| name.to_string_lossy());
    let progress = Progress::start();

    progress.stage("preparing the engine");
    let mut wizer = Wizer::new();
    wizer.init_func("ssr_init");
    let (context, instrumented) = wizer.instrument(ENGINE).map_err(anyhow::Error::msg)?;
    let engine = Engine::new(&config()).map_err(anyhow::Error::msg)?;
    let module = Module::from_binary(&engine, &instrumented).map_err(anyhow::Error::msg)?;

    progress.stage(&format!("evaluating {name}"));
    let state =
        GuestState::new("build".into(), TIME_TO_LOAD, MEMORY_TO_LOAD).at_build_time(date(&args.entry)?);
    let mut store = Store::new(&engine, state);
    store.limiter(GuestState::limiter);
    let linker = guest::linker(&engine).map_err(anyhow::Error::msg)?;
    let time_limit = Epochs::start(&engine).context("no thread for the clock")?;
    let limited = time_limit.limit(&mut store, TIME_TO_LOAD);
    let evaluated = linker.instantiate(&mut store, &module).and_then(|instance| {
        evaluate(&mut store, instance, [Some(&*name), Some(&*source), template.as_deref()])
    });
    drop(limited);
    let instance = evaluated.map_err(|error| explain(&error, &args.entry))?;
    if let Some(failure) = store.data_mut().take_failure() {
        drop(progress);
        bail!(describe(&failure, &args.entry, &source));
    }

    progress.stage("taking the snapshot");
    let mut memory = InstanceMemory { store: &mut store, instance };
    let snapshot = futures_util::FutureExt::now_or_never(wizer.snapshot(&context, &mut memory))
        .context("the snapshot was not taken at once")?
        .map_err(anyhow::Error::msg)?;
    let section = SiteSection { abi: ABI_VERSION, built_by: env!("CARGO_PKG_VERSION").to_owned() };
    let bytes = with_custom_section(snapshot, SECTION, &serde_json::to_vec(&section)?);
    write(&args.output, &bytes)?;
    drop(progress);
    eprintln!(
        "{}: {:.2} MB, from {} ({} kB), in {:.1} s",
        args.output.display(),
        bytes.len() as f64 / 1e6,
        args.entry.display(),
        source.len().div_ceil(1000),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What the site's code takes for the date while it loads, in nanoseconds since
/// 1970: SOURCE_DATE_EPOCH if that is set (reproducible-builds.org), or else when
/// the bundle was made. So equal input gives equal bytes.
fn date(entry: &Path) -> Result<u64> {
    let seconds: u64 = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().ok().with_context(|| {
            format!("SOURCE_DATE_EPOCH: '{text}' is not accepted; it takes seconds since 1970")
        })?,
        Err(_) => {
            let modified = fs::metadata(entry).and_then(|data| data.modified());
            let modified = modified.with_context(|| format!("cannot read '{}'", entry.display()))?;
            modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
        }
    };
    Ok(seconds.saturating_mul(1_000_000_000))
}

/// Used once and thrown away: compiled quickly rather than well.
fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_TO_LOAD);
    config.wasm_backtrace_max_frames(None);
    config
}

fn read(path: &Path, what: &str) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {what} '{}'", path.display()))?;
    String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{what} '{}' is not UTF-8 text: is it a JavaScript file?", path.display()))
}

/// Has the guest load the module; a failure is left in the store's state.
fn evaluate(
    store: &mut Store<GuestState>,
    instance: Instance,
    fields: [Option<&str>; 3],
) -> wasmtime::Result<Instance> {
    let mut input = Vec::new();
    for field in fields {
        put(&mut input, field.map(str::as_bytes));
    }
    let memory = instance
        .get_memory(&mut *store, "memory")
        .ok_or_else(|| wasmtime::Error::msg("the engine has no memory"))?;
    store.data_mut().memory = Some(memory);
    // A reactor's constructors: the C library's set-up.
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call(&mut *store, ())?;
    }
    let length = u32::try_from(input.len())?;
    let at = instance.get_typed_func::<u32, u32>(&mut *store, "ssr_input")?.call(&mut *store, length)?;
    memory.write(&mut *store, at as usize, &input)?;
    // The result says whether it failed; what failed is in the state.
    instance.get_typed_func::<(), u32>(&mut *store, "ssr_init")?.call(&mut *store, ())?;
    Ok(instance)
}

/// A failure that ended the evaluation from outside.
fn explain(error: &wasmtime::Error, entry: &Path) -> anyhow::Error {
    let entry = entry.display();
    if let Some(Stop(cause)) = error.downcast_ref() {
        return anyhow::anyhow!("{entry}: the module did not load: {cause}");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => anyhow::anyhow!(
            "{entry}: the module did not load within {TIME_TO_LOAD:?}: is there an endless loop at its top level?"
        ),
        Some(Trap::StackOverflow) => {
            anyhow::anyhow!(
                "{entry}: the module did not load: the call stack is exhausted: runaway recursion?"
            )
        }
        _ => anyhow::anyhow!("{entry}: the module did not load: {error:#}"),
    }
}

/// What the site's code threw, with its stack in the site's own sources.
fn describe(failure: &Failure, entry: &Path, source: &str) -> String {
    let trace = StackTrace::of(entry, source);
    let stack = trace.translate(&failure.stack);
    format!("{} cannot be evaluated\n{}\n{stack}", entry.display(), failure.message).trim_end().to_owned()
}

/// Writes the file in one step: it is there as a whole, or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".ssr-build-").tempfile_in(directory)?;
        file.write_all(bytes)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write '{}'", path.display()))
}
