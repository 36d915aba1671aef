//! Starts a site, serves it, and stops it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use ssr_wasm::code_source::CodeSource;
use ssr_wasm::memory_trim;
use ssr_wasm::pool::RenderPool;
use tokio::net::TcpListener;

use crate::assets::Assets;
use crate::container_memory;
use crate::error::ServeError;
use crate::guest::{Loader, ProgramFiles};
use crate::net::{self, Pulse, StopSignals};
use crate::pages::Pages;
use crate::router::Router;
use crate::settings::{self, Settings};
use crate::supervisor::{Report, Supervisor};

/// Connections that may wait to be accepted. The kernel allows no more than its own limit
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// A site to serve.
pub struct SiteSource {
    /// The path of the module's file.
    pub module: String,
    /// Where its compiled code comes from.
    pub code: CodeSource,
    /// The directory of assets, if any.
    pub assets: Option<PathBuf>,
    /// The site's environment.
    pub env: Vec<(String, String)>,
    /// The files of programs that run for each request.
    pub files: ProgramFiles,
}

/// Runs a container's process: `args` are the image's entrypoint and command (the
/// module's path and the directory of assets), `env` the container's environment.
/// Returns the exit code; errors have been written to standard error by then.
pub fn run(args: &[String], env: &[(String, String)], code: CodeSource, files: ProgramFiles) -> u8 {
    let result = container_source(args, env, code, files).and_then(|source| {
        let settings = Settings::from_env(env)?;
        for name in settings::unknown_variables(env) {
            log::warn!("{name} is not a setting of this server; is it misspelled?");
        }
        serve(source, &settings, Supervisor::default())
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            // After the log lines before it.
            log::logger().flush();
            eprintln!("ssr: {error}");
            error.exit_code()
        }
    }
}

fn container_source(
    args: &[String],
    env: &[(String, String)],
    code: CodeSource,
    files: ProgramFiles,
) -> Result<SiteSource, ServeError> {
    let (module, rest) =
        args.split_first().ok_or_else(|| ServeError::Usage("the image has no entrypoint".to_owned()))?;
    let assets = match rest {
        [] => None,
        [assets] => Some(PathBuf::from(assets)),
        [_, extra @ ..] => {
            return Err(ServeError::Usage(format!("unexpected arguments: {}", extra.join(" "))));
        }
    };
    Ok(SiteSource { module: module.clone(), code, assets, env: env.to_vec(), files })
}

/// Serves until one of [`net::STOP_SIGNALS`], then drains in-flight requests. A signal before the
/// site is ready stops it immediately.
pub fn serve(source: SiteSource, settings: &Settings, supervisor: Supervisor) -> Result<(), ServeError> {
    log::set_max_level(settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ssr-http")
        .build()
        .map_err(|error| ServeError::Internal(format!("cannot start the async runtime: {error}")))?;
    let result = runtime.block_on(async {
        let mut stop = StopSignals::catch()?;
        let ready = {
            let (settings, runtime) = (settings.clone(), runtime.handle().clone());
            tokio::task::spawn_blocking(move || prepare(source, &settings, &runtime))
        };
        let router = tokio::select! {
            ready = ready => {
                ready.map_err(|error| ServeError::Internal(format!("starting the site: {error}")))??
            }
            name = stop.next() => {
                log::info!("{name}: stopped before the site was ready");
                return Ok(());
            }
        };
        listen(router, settings, stop, supervisor).await
    });
    // Does not wait for renders that outlived the grace period, nor for a compilation.
    runtime.shutdown_background();
    result
}

/// What takes long: reading, indexing, compiling.
fn prepare(
    source: SiteSource,
    settings: &Settings,
    runtime: &tokio::runtime::Handle,
) -> Result<Arc<Router>, ServeError> {
    let SiteSource { module, code, assets, mut env, files } = source;
    if let Some(zone) = ignored_time_zone(&env) {
        log::warn!(
            "TZ={zone} has no effect: the engine has no time zones, and a site's dates are in UTC; let the browser \
             format them, or a library that brings its own time zones"
        );
    }
    let loading = {
        let (settings, env, runtime) = (settings.clone(), env.clone(), runtime.clone());
        let load = move || {
            let (env, files, settings, runtime) = (&*env, &files, &settings, &runtime);
            Loader { code, env, files, settings, runtime }.load(&module)
        };
        std::thread::Builder::new().name("ssr-load".to_owned()).spawn(load)
    };
    let loading = loading.map_err(|error| {
        ServeError::Internal(format!("cannot start a thread to load the module: {error}"))
    })?;
    let assets = assets.as_deref().map(Assets::index).transpose()?.unwrap_or_default();
    let (guest, backend) = loading
        .join()
        .map_err(|_| ServeError::Internal("the thread that loads the module panicked".to_owned()))??;
    env.extend(server_variables(backend));
    let pool = RenderPool::start(guest, &env, &settings.limits, runtime)
        .map_err(|error| ServeError::Internal(format!("cannot start a render thread: {error}")))?;
    Ok(Arc::new(Router::new(assets, Pages::new(pool, settings), settings)))
}

async fn listen(
    router: Arc<Router>,
    settings: &Settings,
    mut stop: StopSignals,
    supervisor: Supervisor,
) -> Result<(), ServeError> {
    let Supervisor { listener, reports, watchdog } = supervisor;
    let listen_error = |source| ServeError::Listen { address: settings.listen, source };
    let listener = match listener {
        Some(listener) => TcpListener::from_std(listener),
        None => bind(settings.listen),
    };
    let listener = listener.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    log::info!("listening on http://{address}/");
    let report = |report| {
        if let Some(reports) = &reports {
            reports(report);
        }
    };
    report(Report::Ready);
    match container_memory::limit() {
        Some(memory) => log::debug!(
            "at most {} connections (SSR_MAX_CONNECTIONS); the container may use {} MiB of memory",
            settings.max_connections,
            memory >> 20
        ),
        None => log::debug!("at most {} connections (SSR_MAX_CONNECTIONS)", settings.max_connections),
    }
    tokio::spawn(memory_trim::trim_after_start());
    let stop = async {
        let name = stop.next().await;
        report(Report::Stopping);
        match settings.drain_delay {
            Duration::ZERO => log::info!("{name}: draining in-flight requests"),
            delay => log::info!("{name}: accepting requests for {delay:?} more (SSR_DRAIN_DELAY)"),
        }
    };
    let pulse = Pulse::new(watchdog, || {
        let stalled = router.stalled_renders();
        match stalled {
            None => report(Report::Alive),
            Some(time) => log::error!("no render has ended for {time:?}: not alive"),
        }
    });
    net::serve(listener, Arc::clone(&router), settings, stop, pulse).await;
    Ok(())
}

/// Listens. `[::]` is all addresses of IPv6 and IPv4, or of IPv4 alone where there is no IPv6.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listen = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address == SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())) {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && has_no_ipv6(&error) => {
            log::debug!("there is no IPv6 here ({error}): listening on IPv4 alone");
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        result => result,
    }
}

fn has_no_ipv6(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// The container's time zone, unless it is the one that all dates are in.
fn ignored_time_zone(env: &[(String, String)]) -> Option<&str> {
    const UTC: [&str; 8] = ["", "UTC", "UTC0", "Etc/UTC", "GMT", "GMT0", "Etc/GMT", "Zulu"];
    let (_, zone) = env.iter().find(|(name, _)| name == "TZ")?;
    (!UTC.contains(&zone.trim_start_matches(':'))).then_some(zone)
}

/// Tells the site where it runs.
fn server_variables(backend: &str) -> Vec<(String, String)> {
    // Not from /proc/sys, which services are often denied.
    let hostname = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    [
        ("SSR_SERVER", concat!("containerd-shim-ssr/", env!("CARGO_PKG_VERSION"))),
        ("SSR_ARCH", std::env::consts::ARCH),
        ("SSR_BACKEND", backend),
        ("SSR_HOSTNAME", hostname.trim()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_ipv6_makes_it_ipv4() {
        for (number, missing) in
            [(libc::EAFNOSUPPORT, true), (libc::EADDRNOTAVAIL, true), (libc::EADDRINUSE, false)]
        {
            assert_eq!(has_no_ipv6(&std::io::Error::from_raw_os_error(number)), missing);
        }
    }

    #[test]
    fn a_time_zone_that_has_no_effect_is_noticed() {
        let noticed = |zone: &str| ignored_time_zone(&[("TZ".to_owned(), zone.to_owned())]).is_some();
        assert!(noticed("Europe/Berlin") && noticed(":America/New_York") && noticed("CET-1CEST"));
        assert!(!noticed("UTC") && !noticed(":Etc/UTC") && !noticed(""));
        assert_eq!(ignored_time_zone(&[]), None);
    }
}
