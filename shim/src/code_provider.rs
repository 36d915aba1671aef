//! Compiled code for containers' modules: looked up in the node's cache by the
//! shim, or compiled by a process of its own, outside of the container's limits.
//!
//! The container's process asks over a socket that the runtime leaves to it
//! ([`DESCRIPTOR`]). It is not trusted: what comes from it is a module, input for
//! the compiler, and nothing else.

use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{SFlag, fstat};
use serde::{Deserialize, Serialize};
use ssr_server::Provision;
use ssr_server::code_cache::exchange::{self, Request};
use ssr_server::code_cache::{self, CacheError, Code, CodeCache, CompileError, Wanted};
use ssr_server::compile;
use ssr_server::node_config::{CACHE_DIR, NodeConfig};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::logger;
use crate::own_binary;
use crate::reaper::Reaper;

/// The argument that makes this binary the compiler.
pub const COMMAND: &str = "compile";

/// The descriptor of the container's process at which it asks.
pub const DESCRIPTOR: RawFd = own_binary::DESCRIPTOR + 1;

/// Seconds of processor time after which a compilation is ended: ten times what
/// the largest site takes on the slowest board.
const MOST_CPU: u64 = 600;

/// How a compilation yields to what runs: about a tenth of the processor time of
/// anything else that wants it. Less, and a busy node would not start a site at all.
const NICE: libc::c_int = 10;

/// How readily the kernel ends a compilation rather than anything else when
/// memory is short: from -1000 to 1000.
const OOM_SCORE: &[u8] = b"800";

/// Where the cache of a node is, and how large.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    directory: PathBuf,
    size: u64,
}

impl Place {
    /// As the node's configuration says, or beside what containerd itself keeps.
    fn of_bundle(bundle: &Path) -> Result<Self> {
        let config = NodeConfig::read()?.cache;
        let directory = match config.directory {
            Some(directory) => directory,
            None => containerd_root(bundle)?.join(CACHE_DIR),
        };
        Ok(Self { directory, size: config.size })
    }

    fn open(&self) -> Result<CodeCache, CacheError> {
        CodeCache::open(&self.directory, self.size)
    }
}

/// containerd's root directory. A bundle has a link to its place there,
/// `ROOT/io.containerd.runtime.v2.task/NAMESPACE/ID`.
pub fn containerd_root(bundle: &Path) -> Result<PathBuf> {
    let link = bundle.join("work");
    let work = fs::read_link(&link).with_context(|| format!("cannot read '{}'", link.display()))?;
    let root = work.ancestors().nth(3).filter(|root| root.is_absolute());
    root.map(Path::to_owned).with_context(|| format!("'{}' is not below containerd's root", work.display()))
}

/// A pair of sockets: for the shim, and for the container's process.
pub fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    pair.context("cannot make the socket for compiled code")
}

/// Answers at the shim's end, once: a process serves one module.
pub fn serve(socket: OwnedFd, bundle: &Path, reaper: &Reaper) {
    let (bundle, reaper) = (bundle.to_owned(), reaper.clone());
    tokio::spawn(async move {
        if let Err(error) = answer(socket, &bundle, &reaper).await {
            log::warn!("'{}' gets no compiled code: {error:#}", bundle.display());
        }
        // The container runs what it is to run: from here on the shim mostly waits.
        ssr_server::resident::release_soon().await;
    });
}

async fn answer(socket: OwnedFd, bundle: &Path, reaper: &Reaper) -> Result<()> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = UnixStream::from_std(socket)?;
    let received = loop {
        socket.readable().await?;
        match socket.try_io(Interest::READABLE, || exchange::receive_request(&socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => break received?,
        }
    };
    // It closes its end without a word when it runs something else.
    let Some((request, module)) = received else { return Ok(()) };
    let code = provide(request, module, bundle, reaper).await;
    Ok(exchange::answer(&socket, &code)?)
}

async fn provide(
    request: Request,
    module: File,
    bundle: &Path,
    reaper: &Reaper,
) -> Result<Code, CompileError> {
    let place = Place::of_bundle(bundle).map_err(|error| format!("{error:#}"));
    let looked_up = {
        let (place, request) = (place.clone(), request.clone());
        tokio::task::spawn_blocking(move || look_up(place, &request, module)).await
    };
    let (found, module, mut warnings) = looked_up.map_err(io::Error::other)??;
    if let Some(mut code) = found {
        code.warnings.append(&mut warnings);
        return Ok(code);
    }
    let order = Order { request, place };
    let mut code = compile_elsewhere(&order, module, reaper).await?;
    code.warnings.append(&mut warnings);
    Ok(code)
}

/// What is in the cache; and the module again, with what is to be said.
type LookedUp = (Option<Code>, File, Vec<String>);

fn look_up(place: Result<Place, String>, request: &Request, module: File) -> io::Result<LookedUp> {
    let mut warnings = Vec::new();
    // What is wrong with the cache is said by the one who then cannot write to it.
    let Ok(Ok(cache)) = place.map(|place| place.open()) else { return Ok((None, module, warnings)) };
    let digest = compile::digest_file(&module)?;
    let found = code_cache::find(&cache, &digest, &request.engines, &mut warnings);
    for warning in &warnings {
        log::warn!("{warning}");
    }
    Ok((found, module, warnings))
}

/// What the compiler is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    request: Request,
    /// Or why there is none.
    place: Result<Place, String>,
}

/// Starts the compiler, and waits for what it has.
async fn compile_elsewhere(order: &Order, module: File, reaper: &Reaper) -> Result<Code, CompileError> {
    let order = serde_json::to_string(order).map_err(io::Error::other)?;
    let (here, there) = sockets().map_err(io::Error::other)?;
    let (_, exit) = reaper.spawn(|| {
        let mut compiler = Command::new("/proc/self/exe");
        compiler.arg(COMMAND).arg(order).stdin(module).stdout(there).stderr(Stdio::null());
        compiler.spawn().map(|child| child.id())
    })?;
    let exit = exit.await.map_err(io::Error::other)?;
    match tokio::task::spawn_blocking(move || exchange::receive_answer(here)).await {
        Ok(Err(CompileError::System(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let how = match exit.code {
                137 | 134 => "it needs more memory than this machine has to spare for it",
                152 => "it takes too long",
                _ => "the compiler ended without an answer",
            };
            Err(CompileError::Module(format!("it does not compile: {how} (exit code {})", exit.code)))
        }
        Ok(answer) => answer,
        Err(error) => Err(io::Error::other(error).into()),
    }
}

/// The compiler: reads a module from standard input, and answers at the socket
/// that is standard output.
pub fn main() -> ExitCode {
    logger::init();
    let code = compile_here();
    match exchange::answer(io::stdout(), &code) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot hand over compiled code: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile_here() -> Result<Code, CompileError> {
    let internal = |error: anyhow::Error| CompileError::System(io::Error::other(format!("{error:#}")));
    yield_to_others().map_err(internal)?;
    let order = std::env::args().nth(2).context("the compiler is not told what to do").map_err(internal)?;
    let Order { request, place } = serde_json::from_str(&order).map_err(io::Error::other)?;
    let cache = place.map_err(CacheError::Unknown).and_then(|place| place.open());
    let module = read_module()?;
    let start = Instant::now();
    let wanted = Wanted { module: &module, name: &request.name, settings: &request.settings() };
    let code = code_cache::provide(cache, &wanted)?;
    if code.compiled {
        log::info!("compiled '{}' in {} ms", code.about.name, start.elapsed().as_millis());
    }
    Ok(code)
}

/// A module can be made to need much for its size.
fn yield_to_others() -> Result<()> {
    // SAFETY: numbers only. It may be refused, which leaves the priority as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let half = memory()? / 2;
    setrlimit(Resource::RLIMIT_DATA, half, half).context("cannot limit the compiler's memory")?;
    setrlimit(Resource::RLIMIT_CPU, MOST_CPU, MOST_CPU).context("cannot limit the compiler's time")
}

/// The machine's memory, in bytes.
fn memory() -> Result<u64> {
    let table = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kilobytes: u64 = total.context("no MemTotal in /proc/meminfo")?.trim().parse()?;
    Ok(kilobytes << 10)
}

fn read_module() -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    // SAFETY: standard input is this process's, and used nowhere else.
    let mut file = unsafe { File::from_raw_fd(libc::STDIN_FILENO) };
    let mut module = Vec::new();
    // The container's process has the same open file.
    file.rewind()?;
    file.read_to_end(&mut module)?;
    Ok(module)
}

/// In the runtime: gives the container's end of the socket its number.
pub fn keep(socket: RawFd) -> Result<()> {
    ensure!(socket > DESCRIPTOR, "descriptor {socket} is taken");
    // SAFETY: numbers only; what was `DESCRIPTOR`, if anything, is not used yet.
    if unsafe { libc::dup3(socket, DESCRIPTOR, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error()).context("dup3");
    }
    nix::unistd::close(socket)?;
    Ok(())
}

/// In the container's process, before it executes this binary: leaves it the socket.
pub fn hand_over() -> nix::Result<()> {
    fcntl(DESCRIPTOR, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

/// In the container's process, as this binary: where its module's code comes from.
pub fn provision() -> Provision {
    let kind = fstat(DESCRIPTOR).map(|file| SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT);
    match kind {
        // SAFETY: the runtime has left it to this process, and nobody else uses it.
        Ok(SFlag::S_IFSOCK) => Provision::Elsewhere(unsafe { OwnedFd::from_raw_fd(DESCRIPTOR) }),
        _ => Provision::Here,
    }
}
