//! Serves a website: pages rendered by a WebAssembly module, assets from a
//! directory. Knows nothing of containers: the shim and `ssr serve` use it alike.
//!
//! A request's way through the modules: [`http`] accepts it, [`route`] decides,
//! [`asset_response`] or [`render`] answers, [`response`] puts it into HTTP.

pub mod asset_response;
pub mod assets;
pub mod code_cache;
pub mod compile;
pub mod engine;
pub mod error;
pub mod guest;
pub mod health;
pub mod http;
pub mod log_buffer;
pub mod module;
pub mod node_config;
pub mod render;
pub mod resident;
pub mod response;
pub mod route;
pub mod settings;
pub mod site;
pub mod time_limit;
mod wasi;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use assets::Assets;
use code_cache::CompileError;
use code_cache::exchange::{self, Request};
use error::StartError;
use render::Renderer;
use route::Router;
use settings::Settings;
use site::Site;

/// Where a module's compiled code comes from.
#[derive(Debug)]
pub enum Provision {
    /// The module is compiled in this process.
    Here,
    /// So it is, and these are its bytes: they came in another way than as a file.
    Bytes(Vec<u8>),
    /// It is asked for at the other end of this socket; see [`code_cache::exchange`].
    Elsewhere(OwnedFd),
}

/// What is to be served.
#[derive(Debug)]
pub struct Source {
    /// The module's file name.
    pub module: String,
    /// Where its code comes from.
    pub code: Provision,
    /// The directory of assets, if there is one.
    pub assets: Option<PathBuf>,
    /// The site's environment.
    pub env: Vec<(String, String)>,
}

/// Runs a container's process: `args` as in the image's entrypoint and command
/// (the module's path, then the directory of assets), `env` as the container's
/// environment. Returns the exit code; errors have been written to standard error
/// by then.
pub fn run(args: &[String], env: &[(String, String)], code: Provision) -> u8 {
    let result = container_source(args, env, code).and_then(|source| {
        let settings = Settings::from_env(env)?;
        for name in settings::unknown_variables(env) {
            log::warn!("the variable {name} is no setting of this server; misspelt?");
        }
        serve(source, &settings)
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            // After what was said before.
            log::logger().flush();
            eprintln!("ssr: {error}");
            error.exit_code()
        }
    }
}

fn container_source(
    args: &[String],
    env: &[(String, String)],
    code: Provision,
) -> Result<Source, StartError> {
    let (module, rest) =
        args.split_first().ok_or_else(|| StartError::Usage("the image has no entrypoint".to_owned()))?;
    let assets = match rest {
        [] => None,
        [assets] => Some(PathBuf::from(assets)),
        [_, more @ ..] => return Err(StartError::Usage(format!("unexpected arguments: {}", more.join(" ")))),
    };
    Ok(Source { module: module.clone(), code, assets, env: env.to_vec() })
}

/// Serves until SIGTERM or SIGINT, and then until what is in flight is done. One
/// that comes before the site is ready ends it at once.
pub fn serve(source: Source, settings: &Settings) -> Result<(), StartError> {
    log::set_max_level(settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ssr-http")
        .build()
        .map_err(|error| StartError::Internal(format!("no runtime: {error}")))?;
    let result = runtime.block_on(async {
        let mut stop = StopSignals::catch()?;
        let ready = {
            let (settings, runtime) = (settings.clone(), runtime.handle().clone());
            tokio::task::spawn_blocking(move || prepare(source, &settings, &runtime))
        };
        let router = tokio::select! {
            ready = ready => {
                ready.map_err(|error| StartError::Internal(format!("the preparation: {error}")))??
            }
            name = stop.next() => {
                log::info!("{name}: stopped before the site was ready");
                return Ok(());
            }
        };
        listen(router, settings, stop).await
    });
    // Renders that outlived the grace period, and a compilation, are not waited for.
    runtime.shutdown_background();
    result
}

/// Everything that takes long: reading, indexing, compiling.
fn prepare(
    source: Source,
    settings: &Settings,
    runtime: &tokio::runtime::Handle,
) -> Result<Arc<Router>, StartError> {
    let Source { module, code, assets, mut env } = source;
    let compiling = {
        let settings = settings.clone();
        std::thread::Builder::new().name("ssr-load".to_owned()).spawn(move || load(&module, code, &settings))
    };
    let compiling =
        compiling.map_err(|error| StartError::Internal(format!("no thread to load the module: {error}")))?;
    let assets = assets.as_deref().map(Assets::index).transpose()?.unwrap_or_default();
    let site = compiling
        .join()
        .map_err(|_| StartError::Internal("the thread that loads the module has ended".to_owned()))??;
    env.extend(about(&site));
    let renderer = Renderer::start(site, &env, settings, runtime)?;
    Ok(Arc::new(Router::new(assets, renderer, settings)))
}

/// Makes the site of its module.
fn load(path: &str, code: Provision, settings: &Settings) -> Result<Site, StartError> {
    let unreadable = |source| StartError::Read { what: "the module", path: PathBuf::from(path), source };
    let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
    let bytes = match code {
        Provision::Bytes(bytes) => bytes,
        Provision::Here => std::fs::read(path).map_err(unreadable)?,
        Provision::Elsewhere(socket) => {
            let module = File::open(path).map_err(unreadable)?;
            let asked = Request::new(&name, settings).map_err(CompileError::System);
            match asked.and_then(|request| exchange::ask(socket, &request, &module)) {
                Ok(code) => return Site::load(&name, code, settings),
                Err(CompileError::Module(reason)) => {
                    return Err(StartError::Module { name: name.into_owned(), reason });
                }
                Err(CompileError::System(error)) => {
                    log::warn!("the node has no compiled code for {name} ({error}); compiling it here");
                }
            }
            std::fs::read(path).map_err(unreadable)?
        }
    };
    // On a small board this takes a while: without a word it would look stuck.
    log::info!("compiling {name}");
    Site::new(&name, &bytes, settings)
}

/// The signals that ask for an end.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on they no longer end the process. (A container's first process
    /// would not even be ended: the kernel drops what it does not catch.)
    fn catch() -> Result<Self, StartError> {
        let catch =
            |kind| signal(kind).map_err(|error| StartError::Internal(format!("no signal handler: {error}")));
        let caught =
            Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? };
        unblock_signals();
        Ok(caught)
    }

    /// Waits for one; says which it was.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The shim starts a container with both of them blocked: one that comes before
/// there is a handler waits instead of being dropped.
fn unblock_signals() {
    // SAFETY: the set is initialised by `sigemptyset`.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

async fn listen(router: Arc<Router>, settings: &Settings, mut stop: StopSignals) -> Result<(), StartError> {
    let listen_error = |source| StartError::Listen { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    log::info!("listening on http://{address}/");
    tokio::spawn(resident::release_soon());
    let stop = async {
        let name = stop.next().await;
        log::info!("{name}: finishing what is in flight");
    };
    http::serve(listener, router, settings, stop).await;
    Ok(())
}

/// What a site is told of where it runs.
fn about(site: &Site) -> Vec<(String, String)> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    [
        ("SSR_SERVER", concat!("containerd-shim-ssr/", env!("CARGO_PKG_VERSION"))),
        ("SSR_ARCH", std::env::consts::ARCH),
        ("SSR_BACKEND", site.backend()),
        ("SSR_HOSTNAME", hostname.trim()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
