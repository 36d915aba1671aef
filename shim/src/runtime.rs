//! The runtime: one step of a container's life, in a process that lives as long.
//!
//! libcontainer forks and goes on running Rust in the child, which only a process
//! with a single thread can do safely; the shim has several. So the shim starts
//! this same binary with [`COMMAND`] ([`crate::launcher`]), a [`Step`] as JSON on
//! its standard input, and reads the answer as JSON from its standard output.
//! The container's process, which outlives the runtime, becomes the shim's child.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use containerd_shim::mount;
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::code_provider;
use crate::controllers::unified;
use crate::executor::{EntrypointExecutor, REFUSED};
use crate::own_binary;
use crate::spec::{self, Pids};

/// The argument that makes this binary the runtime.
pub const COMMAND: &str = "runtime";

/// The directory in a bundle at which the root filesystem is mounted.
const ROOT: &str = "rootfs";

/// The directory in a bundle that holds libcontainer's state of the container.
const STATE: &str = "state";

/// The file in a bundle that is locked by whoever makes processes of the container.
const LOCK: &str = "runtime.lock";

/// Descriptors, after the standard ones, that the container's process keeps until
/// it executes something: this binary, and the socket for compiled code.
const PRESERVED: i32 = 2;

/// How long those may take to end who make processes when the container is deleted.
const GONE: Duration = Duration::from_secs(5);

/// What is to be done to the container of a bundle.
#[derive(Debug, Serialize, Deserialize)]
pub enum Step {
    /// Mounts the root filesystem and makes the container; answers its process's number,
    /// or [`NO_ENTRYPOINT`] before it makes anything. `module` is the file to be found
    /// at the entrypoint's path, where the image is known to hold it in another way.
    Create { bundle: PathBuf, id: String, mounts: Vec<Mount>, systemd: bool, stdio: Stdio, module: Module },
    /// Lets the container's process go on to what it is to run.
    Start { bundle: PathBuf, id: String },
    /// Starts a further process, described by the OCI process in the file; answers its number.
    Exec { bundle: PathBuf, id: String, process: PathBuf, stdio: Stdio },
    /// Removes what is left of the container: processes, cgroup, state and mounts.
    Delete { bundle: PathBuf, id: String },
}

/// Where the file is that the entrypoint names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Module {
    /// In the image's root; if it is not, that is the answer.
    Expected,
    /// In the image's root or nowhere: whatever is wrong is said by name.
    InRoot,
    /// This file.
    Layer(PathBuf),
}

/// The answer where the image's root has no file of the entrypoint's name.
pub const NO_ENTRYPOINT: i32 = -1;

/// A mount of the root filesystem, as containerd describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

/// Where a process's input comes from and its output goes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Stdio {
    /// Files or FIFOs by path; null devices where there is none.
    Files { stdin: Option<PathBuf>, stdout: Option<PathBuf>, stderr: Option<PathBuf> },
    /// A terminal, whose other end is sent to this socket.
    Terminal { socket: PathBuf },
}

/// The process's number (0 where there is none), or what went wrong.
pub type Answer = Result<i32, String>;

/// Takes one step; see the module's text.
pub fn main() -> ExitCode {
    // First, while the numbers of their descriptors are free.
    let opened = own_binary::open().and_then(|()| keep_socket());
    let answer: Answer =
        opened.and_then(|()| end_with_parent()).and_then(|()| step()).map_err(|error| format!("{error:#}"));
    let written = serde_json::to_vec(&answer).map(|answer| io::stdout().write_all(&answer));
    match (answer, written) {
        (Ok(_), Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The socket that is left to the process which this step makes.
fn keep_socket() -> Result<()> {
    match std::env::args().nth(3) {
        Some(number) => code_provider::keep(number.parse()?),
        None => Ok(()),
    }
}

/// Whoever has asked for the step cleans up when it is lost half way; nobody does
/// when its shim has been killed, unless this process ends as well and leaves the
/// rest to containerd's call of `delete`.
fn end_with_parent() -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let parent = std::env::args().nth(2).context("the runtime is not told who asks")?;
    ensure!(parent == nix::unistd::getppid().to_string(), "the shim has ended");
    Ok(())
}

fn step() -> Result<i32> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    // Inherited by what this forks, until that executes what it is to run.
    let mut _lock = None;
    match serde_json::from_slice(&input).context("the runtime is told nothing it knows")? {
        Step::Create { bundle, id, mounts, systemd, stdio, module } => {
            _lock = Some(lock(&bundle)?);
            let created = mount_root(&bundle, &mounts).and_then(|()| {
                create(&bundle, &id, systemd, stdio, &module).context("cannot create the container")
            });
            if !matches!(created, Ok(pid) if pid != NO_ENTRYPOINT) {
                let _ = unmount_root(&bundle);
            }
            created
        }
        Step::Start { bundle, id } => {
            load(&bundle, &id)?.start().map_err(described).context("cannot start the container")?;
            Ok(0)
        }
        Step::Exec { bundle, id, process, stdio } => {
            _lock = Some(lock(&bundle)?);
            exec(&bundle, &id, &process, stdio)
        }
        Step::Delete { bundle, id } => delete(&bundle, &id).map(|()| 0),
    }
}

fn create(bundle: &Path, id: &str, systemd: bool, stdio: Stdio, module: &Module) -> Result<i32> {
    let spec = spec::load(bundle)?;
    if *module == Module::Expected && !spec::has_entrypoint(&spec, &bundle.join(ROOT)) {
        return Ok(NO_ENTRYPOINT);
    }
    let builder = builder(bundle, id, stdio)?.with_executor(EntrypointExecutor::Init);
    Cgroup::of_spec(&spec, id, systemd).make_parents()?;
    let bundle = adapted(bundle, spec, module)?.unwrap_or_else(|| bundle.to_owned());
    let container =
        builder.as_init(bundle).with_systemd(systemd).with_detach(true).build().map_err(described)?;
    let pid = container.pid().ok_or_else(|| anyhow!("it ended at once"))?;
    Ok(pid.as_raw())
}

/// A bundle like this one, with other mounts. `None` where it will do as it is.
///
/// Where the container joins another's process numbers, it is without the mount of
/// cgroup v1: libcontainer 0.7 looks its own process up by its number in the new
/// namespace, and finds none or a wrong one. A module that is no file of the image's
/// root becomes one that is mounted there.
fn adapted(bundle: &Path, mut spec: Spec, module: &Module) -> Result<Option<PathBuf>> {
    let without_cgroups = Pids::of(&spec) == Pids::Joined && !unified();
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if without_cgroups {
        mounts.retain(|mount| mount.typ().as_deref() != Some("cgroup"));
    }
    if let Module::Layer(file) = module {
        mounts.push(spec::file_at_entrypoint(&spec, file)?);
    } else if !without_cgroups {
        return Ok(None);
    }
    spec.canonicalize_rootfs(bundle).map_err(|error| anyhow!("the root filesystem's path: {error}"))?;
    spec.set_mounts(Some(mounts));
    let changed = bundle.join(STATE).join("bundle");
    std::fs::create_dir_all(&changed)?;
    spec.save(changed.join("config.json")).map_err(|error| anyhow!("the changed bundle: {error}"))?;
    Ok(Some(changed))
}

fn exec(bundle: &Path, id: &str, process: &Path, stdio: Stdio) -> Result<i32> {
    let spec = spec::load(bundle)?;
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    let pid = builder(bundle, id, stdio)?
        .with_executor(EntrypointExecutor::Further(seccomp))
        .as_tenant()
        .with_process(Some(process))
        .with_detach(true)
        .build()
        .map_err(described)?;
    Ok(pid.as_raw())
}

fn builder(bundle: &Path, id: &str, stdio: Stdio) -> Result<ContainerBuilder> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(bundle.join(STATE))
        .map_err(described)?
        .with_preserved_fds(PRESERVED);
    Ok(match stdio {
        Stdio::Terminal { socket } => builder.with_console_socket(Some(socket)),
        Stdio::Files { stdin, stdout, stderr } => {
            let (mut read, mut write) = (OpenOptions::new(), OpenOptions::new());
            read.read(true);
            // Appended to, should it be a file.
            write.append(true).create(true);
            builder
                .with_stdin(open(&read, stdin.as_deref())?)
                .with_stdout(open(&write, stdout.as_deref())?)
                .with_stderr(open(&write, stderr.as_deref())?)
        }
    })
}

fn open(options: &OpenOptions, path: Option<&Path>) -> Result<OwnedFd> {
    let path = path.unwrap_or(Path::new("/dev/null"));
    let file: File = options.open(path).with_context(|| format!("cannot open '{}'", path.display()))?;
    Ok(file.into())
}

fn load(bundle: &Path, id: &str) -> Result<Container> {
    Container::load(bundle.join(STATE).join(id)).map_err(described)
}

/// Keeps the container from being deleted under this runtime, and under the
/// processes that it forks: they outlive it when it is killed, and make cgroups.
fn lock(bundle: &Path) -> Result<File> {
    let path = bundle.join(LOCK);
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let locked = file.and_then(|file| file.lock_shared().map(|()| file));
    locked.with_context(|| format!("cannot lock '{}'", path.display()))
}

/// Waits until nobody makes processes of the container, whose processes are ended
/// meanwhile: one that waits to be started is still such a copy of the runtime.
fn wait_for_lock(bundle: &Path, cgroup: &Cgroup) -> Result<()> {
    // There is none where nothing was made.
    let Ok(lock) = File::open(bundle.join(LOCK)) else { return Ok(()) };
    let until = Instant::now() + GONE;
    while lock.try_lock().is_err() {
        ensure!(Instant::now() < until, "processes that make the container do not end");
        let _ = cgroup.signal(libc::SIGKILL);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Takes away whatever there is, and reports the first thing that would not go.
fn delete(bundle: &Path, id: &str) -> Result<()> {
    // containerd, killed while it removed the bundle, goes on with that after all this.
    let cgroup = match bundle.join("config.json").exists() {
        true => Some(Cgroup::of_spec(&spec::load(bundle)?, id, false)),
        false => None,
    };
    let waited = cgroup.as_ref().map_or(Ok(()), |cgroup| wait_for_lock(bundle, cgroup));
    let removed = match load(bundle, id) {
        Ok(mut container) => container.delete(true).map_err(described),
        // Never made, or removed before.
        Err(_) => Ok(()),
    };
    let swept = cgroup.map_or(Ok(()), |cgroup| cgroup.remove());
    let unmounted = unmount_root(bundle);
    waited.and(removed.context("cannot remove the container")).and(swept).and(unmounted)
}

fn mount_root(bundle: &Path, mounts: &[Mount]) -> Result<()> {
    let root = bundle.join(ROOT);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot make '{}'", root.display()))?;
    for Mount { kind, source, options } in mounts {
        mount::mount_rootfs(Some(kind), Some(source), options, &root)
            .with_context(|| format!("cannot mount {kind} '{source}' as the root filesystem"))?;
    }
    Ok(())
}

fn unmount_root(bundle: &Path) -> Result<()> {
    let root = bundle.join(ROOT);
    mount::umount_recursive(root.to_str(), libc::MNT_DETACH)
        .with_context(|| format!("cannot unmount '{}'", root.display()))
}

/// libcontainer's error with all that caused it: its outermost sentence says
/// little. Of what we have said ourselves, in the container's process, only that.
fn described(error: libcontainer::error::LibcontainerError) -> anyhow::Error {
    let mut text = error.to_string();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        let next = source.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = source;
    }
    match text.rsplit_once(REFUSED) {
        Some((_, ours)) => anyhow!("{ours}"),
        None => anyhow!(text),
    }
}
