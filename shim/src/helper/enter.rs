//! Starts another process in a site's container. It runs our own binary, too.
//!
//! libcontainer 0.7 has this, but its list of namespaces lacks "user": the process would be
//! the node's root in a container that has a user namespace.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use libcontainer::oci_spec::runtime::{Process, Spec};
use libcontainer::process::cpu_affinity;
use libcontainer::syscall::Syscall;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::{apparmor, capabilities, seccomp, tty};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{self, ForkResult, Gid, Pid, Uid};

use super::command::{Done, ProcessStdio};
use super::executor::{asks_for_code, c_string, execute, mask, own_arguments};
use super::inherited_fds;
use super::mounts::image;
use crate::cgroup::paths::Controllers;
use crate::io::stdio;
use crate::oci::{own_process, spec};

/// The namespaces, in the order in which they are joined: the last one takes the node's
/// privileges away, and the one before it the node's files.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "uts", "net", "pid", "time", "mnt", "user"];

/// More descriptors than the helper ever has open.
const MAX_OPEN: RawFd = 1024;

/// What the process needs from the node's side, opened before that is out of sight.
struct Prepared {
    process: Process,
    spec: Spec,
    stdio: PreparedStdio,
    namespaces: Vec<(&'static str, File)>,
}

enum PreparedStdio {
    Files([OwnedFd; 3]),
    Terminal(OwnedFd),
}

/// Starts the process that the OCI process `process`, as JSON, describes, beside the
/// container's first process `init`.
pub fn exec(bundle: &Path, init: i32, process: &str, stdio: ProcessStdio) -> Result<Done> {
    let mut spec = spec::load(bundle)?;
    let mut process: Process = serde_json::from_str(process).context("the process cannot be parsed")?;
    own_process::restrict_capabilities(&mut process);
    own_process::check_exec(&process)?;
    spec.set_process(Some(process.clone()));
    let namespaces = open_namespaces(init)?;
    image::leave_to_process(bundle, &spec)?;
    let stdio = match stdio {
        ProcessStdio::Files(files) => PreparedStdio::Files(stdio::open_files(&files)?),
        ProcessStdio::Terminal { socket } => PreparedStdio::Terminal(
            UnixStream::connect(&socket)
                .with_context(|| format!("cannot connect to '{}'", socket.display()))?
                .into(),
        ),
    };
    set_oom_score(&process)?;
    // From here on a process of the container's must not trace this one.
    nix::sys::prctl::set_dumpable(false).context("cannot forbid tracing")?;
    join_cgroups(init)?;
    let prepared = Prepared { process, spec, stdio, namespaces };
    prepared.enter()?;
    let arguments = own_arguments(&prepared.spec).map_err(|reason| {
        anyhow::anyhow!(
            "{reason}; a site's container runs `ssr health` and modules only: to look around in it, use `kubectl debug` \
             or a sidecar container that shares its namespaces"
        )
    })?;
    let serves = asks_for_code(&arguments);
    Ok(Done::Process { pid: prepared.start(&arguments)?, serves })
}

/// Opens those namespaces of a process that are not this one's.
fn open_namespaces(init: i32) -> Result<Vec<(&'static str, File)>> {
    ensure!(is_sibling(init), "the container's process has ended");
    let mut opened = Vec::new();
    for name in NAMESPACES {
        let path = format!("/proc/{init}/ns/{name}");
        let namespace = match File::open(&path) {
            Ok(namespace) => namespace,
            // An old kernel has no namespaces of this kind.
            Err(_) if !Path::new(&format!("/proc/self/ns/{name}")).exists() => continue,
            Err(error) => bail!("cannot open '{path}': {error}"),
        };
        let (theirs, ours) = (namespace.metadata()?, fs::metadata(format!("/proc/self/ns/{name}"))?);
        if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) {
            opened.push((name, namespace));
        }
    }
    // Its pid may have been another process's meanwhile.
    ensure!(is_sibling(init), "the container's process has ended");
    Ok(opened)
}

/// Whether the process is a child of the shim, as this one is.
fn is_sibling(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.is_some_and(|parent| parent.trim() == unistd::getppid().to_string())
}

fn set_oom_score(process: &Process) -> Result<()> {
    let Some(score) = process.oom_score_adj() else { return Ok(()) };
    match fs::write("/proc/self/oom_score_adj", score.to_string()) {
        // Root without CAP_SYS_RESOURCE, in a container of its own, cannot lower it.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(error).with_context(|| format!("cannot set oom_score_adj to {score}"))
        }
        _ => Ok(()),
    }
}

/// Joins every cgroup that the container's first process is in.
fn join_cgroups(init: i32) -> Result<()> {
    let controllers = Controllers::of_process(init).context("the container's process has ended")?;
    for directory in controllers.directories() {
        let file = directory.join("cgroup.procs");
        fs::write(&file, std::process::id().to_string())
            .with_context(|| format!("cannot join the container's cgroup '{}'", directory.display()))?;
    }
    Ok(())
}

impl Prepared {
    /// Joins the container's namespaces. From here on its files are this process's.
    fn enter(&self) -> Result<()> {
        for (name, namespace) in &self.namespaces {
            setns(namespace, CloneFlags::empty())
                .with_context(|| format!("cannot join the container's {name} namespace"))?;
            if *name == "user" {
                let syscall = SyscallType::Linux.create_syscall();
                syscall
                    .set_id(Uid::from_raw(0), Gid::from_raw(0))
                    .context("cannot become root in the container's user namespace")?;
            }
        }
        let cwd = self.process.cwd();
        unistd::chdir(cwd).with_context(|| format!("cannot change to the directory '{}'", cwd.display()))
    }

    /// Forks, since only a child is in the PID namespace that was joined, and waits until
    /// it has executed.
    fn start(self, arguments: &[String]) -> Result<i32> {
        // Closed when it executes; anything that arrives before is an error.
        let (failed, report) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: this process has a single thread.
        match unsafe { unistd::fork() }
            .context("cannot start another process (the container's pids limit?)")?
        {
            ForkResult::Parent { child } => {
                drop(report);
                let mut message = String::new();
                std::io::Read::read_to_string(&mut File::from(failed), &mut message)?;
                finish(child, &message)
            }
            ForkResult::Child => {
                drop(failed);
                let error = self.become_process(arguments, report.as_raw_fd());
                let _ = unistd::write(&report, format!("{error:#}").as_bytes());
                // SAFETY: ends this process at once; nothing of the helper's is to run.
                unsafe { libc::_exit(1) }
            }
        }
    }

    /// Gives up what the process should not have, and executes. Returns only on failure.
    fn become_process(self, arguments: &[String], report: RawFd) -> anyhow::Error {
        match self.restrict(report) {
            Ok(environment) => anyhow::anyhow!("cannot execute: {}", execute(arguments, &environment)),
            Err(error) => error,
        }
    }

    fn restrict(self, report: RawFd) -> Result<Vec<CString>> {
        let Self { process, spec, stdio, .. } = self;
        let syscall = SyscallType::Linux.create_syscall();
        unistd::setsid()?;
        // Before anything of the container's runs, and as long as the report can be sent.
        match stdio {
            PreparedStdio::Files(files) => {
                for (file, place) in files.iter().zip(0..) {
                    unistd::dup2(file.as_raw_fd(), place)?;
                }
            }
            PreparedStdio::Terminal(socket) => {
                let socket = std::os::fd::IntoRawFd::into_raw_fd(socket);
                tty::setup_console(syscall.as_ref(), socket, false).context("cannot set up the terminal")?;
            }
        }
        set_attributes(&process, &spec, syscall.as_ref())?;
        close_others(report)?;
        let filter = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let unprivileged = process.no_new_privileges() == Some(true);
        if unprivileged {
            nix::sys::prctl::set_no_new_privs().context("cannot set no_new_privs")?;
        } else {
            // Needs privileges that are given up next.
            filter
                .map(seccomp::initialize_seccomp)
                .transpose()
                .context("cannot install the seccomp filter")?;
        }
        capabilities::reset_effective(syscall.as_ref())?;
        if let Some(kept) = process.capabilities() {
            capabilities::drop_privileges(kept, syscall.as_ref()).context("cannot give up capabilities")?;
        }
        if unprivileged {
            filter
                .map(seccomp::initialize_seccomp)
                .transpose()
                .context("cannot install the seccomp filter")?;
        }
        own_process::set_selinux_label(&spec)?;
        mask(&[]);
        let env = process.env().as_deref().unwrap_or_default();
        Ok(env.iter().map(|variable| c_string(variable)).collect())
    }
}

/// Limits, labels and identity, in the order of what each needs.
fn set_attributes(process: &Process, spec: &Spec, syscall: &dyn Syscall) -> Result<()> {
    for limit in process.rlimits().iter().flatten() {
        syscall.set_rlimit(limit).with_context(|| format!("cannot set the limit {:?}", limit.typ()))?;
    }
    let affinity = process.exec_cpu_affinity().as_ref();
    if let Some(processors) = affinity.and_then(|affinity| affinity.cpu_affinity_final().as_deref()) {
        cpu_affinity::set_cpuset_affinity_from_string(Pid::this(), processors)
            .with_context(|| format!("execCPUAffinity: cannot use the processors '{processors}'"))?;
    }
    if let Some(profile) = process.apparmor_profile() {
        apparmor::apply_profile(profile)
            .with_context(|| format!("cannot set the AppArmor profile '{profile}'"))?;
    }
    let user = process.user();
    if let Some(mode) = user.umask() {
        nix::sys::stat::umask(Mode::from_bits_truncate(mode));
    }
    let mapped = spec.linux().as_ref().is_some_and(|linux| linux.uid_mappings().is_some());
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().copied().map(Gid::from_raw).collect();
    match unistd::setgroups(&groups) {
        // A user namespace can forbid this; then nobody has more groups than it has.
        Err(nix::Error::EPERM) if mapped && groups.is_empty() => {}
        result => result.context("cannot set the supplementary groups")?,
    }
    let (uid, gid) = (user.uid(), user.gid());
    syscall
        .set_id(Uid::from_raw(uid), Gid::from_raw(gid))
        .with_context(|| format!("cannot become user {uid} and group {gid}"))
}

/// Everything but standard input and output and what our binary is to inherit is closed
/// when it is executed. The container may have no /proc to list what is open.
fn close_others(report: RawFd) -> Result<()> {
    let first = 3 + inherited_fds::COUNT;
    ensure!(report >= first, "descriptor {report} is reserved");
    for number in first..MAX_OPEN {
        // Most numbers are free.
        let _ = fcntl(number, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
    Ok(())
}

/// The pid of a child that has executed. One that has failed is reaped by this process.
fn finish(child: Pid, message: &str) -> Result<i32> {
    if message.is_empty() {
        return Ok(child.as_raw());
    }
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
    let _ = nix::sys::wait::waitpid(child, None);
    bail!("{message}")
}
