//! Serves a website: pages rendered by a WebAssembly module, assets from a
//! directory. Knows nothing of containers: the shim and `ssr serve` use it alike.
//!
//! A request's way through the modules: [`http`] accepts it, [`route`] decides,
//! [`asset_response`] or [`render`] answers, [`response`] puts it into HTTP.

pub mod asset_response;
pub mod assets;
pub mod engine;
pub mod error;
pub mod guest;
pub mod health;
pub mod http;
pub mod module;
pub mod render;
pub mod response;
pub mod route;
pub mod settings;
pub mod site;
pub mod time_limit;
mod wasi;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use assets::Assets;
use error::StartError;
use render::Renderer;
use route::Router;
use settings::Settings;
use site::Site;

/// What is to be served.
#[derive(Debug)]
pub struct Source<'a> {
    /// The module's file name.
    pub module: &'a str,
    /// Its bytes, where they came in another way than as that file.
    pub bytes: Option<&'a [u8]>,
    /// The directory of assets, if there is one.
    pub assets: Option<PathBuf>,
    /// The site's environment.
    pub env: &'a [(String, String)],
}

/// Runs a container's process: `args` as in the image's entrypoint and command
/// (the module's path, then the directory of assets), `env` as the container's
/// environment. `module` holds the module's bytes where the image carries it as
/// a layer of its own instead of a file. Returns the exit code; errors have been
/// written to standard error by then.
pub fn run(args: &[String], env: &[(String, String)], module: Option<&[u8]>) -> u8 {
    let result = container_source(args, env, module).and_then(|source| {
        let settings = Settings::from_env(env)?;
        for name in settings::unknown_variables(env) {
            log::warn!("the variable {name} is no setting of this server; misspelt?");
        }
        serve(&source, &settings)
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("ssr: {error}");
            error.exit_code()
        }
    }
}

fn container_source<'a>(
    args: &'a [String],
    env: &'a [(String, String)],
    bytes: Option<&'a [u8]>,
) -> Result<Source<'a>, StartError> {
    let (module, rest) =
        args.split_first().ok_or_else(|| StartError::Usage("the image has no entrypoint".to_owned()))?;
    let assets = match rest {
        [] => None,
        [assets] => Some(PathBuf::from(assets)),
        [_, more @ ..] => return Err(StartError::Usage(format!("unexpected arguments: {}", more.join(" ")))),
    };
    Ok(Source { module, bytes, assets, env })
}

/// Serves until SIGTERM or SIGINT, and then until what is in flight is done.
pub fn serve(source: &Source<'_>, settings: &Settings) -> Result<(), StartError> {
    log::set_max_level(settings.log);
    let read;
    let bytes = match source.bytes {
        Some(bytes) => bytes,
        None => {
            let path = Path::new(source.module);
            read = std::fs::read(path).map_err(|error| StartError::Read {
                what: "the module",
                path: path.to_owned(),
                source: error,
            })?;
            &read
        }
    };
    let assets = source.assets.as_deref().map(Assets::index).transpose()?.unwrap_or_default();
    // On a small board this takes a while: without a word it would look stuck.
    log::info!("compiling {}", source.module);
    let site = Site::new(source.module, bytes, settings)?;
    let mut env = source.env.to_vec();
    env.extend(about(&site));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ssr-http")
        .build()
        .map_err(|error| StartError::Internal(format!("no runtime: {error}")))?;
    let renderer = Renderer::start(site, &env, settings, runtime.handle())?;
    let router = Arc::new(Router::new(assets, renderer, settings));
    let result = runtime.block_on(listen(router, settings));
    // Renders that outlived the grace period are not waited for.
    runtime.shutdown_background();
    result
}

async fn listen(router: Arc<Router>, settings: &Settings) -> Result<(), StartError> {
    let no_signals = |error| StartError::Internal(format!("no signal handler: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let listen_error = |source| StartError::Listen { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    log::info!("listening on http://{address}/");
    let stop = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
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
