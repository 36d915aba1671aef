//! The cgroups of compilers. What a tenant's module costs to compile is neither the shim's
//! nor the container's: a container of 24 MiB could not pay for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, DEFAULT_CGROUP_ROOT, create_cgroup_manager,
};
use libcontainer::oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};
use nix::unistd::Pid;
use ssr_code_cache::machine_memory;

use super::paths::keyed;

/// The cgroup that holds all of them.
const PARENT: &str = "ssr-compilers";

/// Most threads of a compiler beside its first, however many processors there are.
pub const MAX_THREADS: usize = 15;

/// How long killed compilers may take to end, and how often to look.
const END_TIMEOUT: Duration = Duration::from_secs(2);
const END_RETRY: Duration = Duration::from_millis(50);

/// Processor shares, of which a container has 1024 unless it asks for others.
const CPU_SHARES: u64 = 102;

/// The cgroup of one compiler. It is removed when this is dropped, with whatever is left in
/// it killed before.
pub struct CompilerCgroup {
    name: String,
}

impl CompilerCgroup {
    /// Chooses one for a compiler that this process is to start, which creates it by joining.
    /// Those that killed processes have left are removed.
    pub fn create() -> Result<Self> {
        remove_left();
        let name = format!("{}-{}", std::process::id(), pid_namespace()?);
        manager(&name).map(|_| Self { name })
    }

    /// Whether the kernel has killed the compiler because it reached its memory limit.
    pub fn was_at_its_limit(&self) -> bool {
        let below = Path::new(PARENT).join(&self.name);
        let root = Path::new(DEFAULT_CGROUP_ROOT);
        let v1 = root.join("memory").join(&below).join("memory.oom_control");
        let v2 = root.join(&below).join("memory.events");
        [v1, v2].iter().any(|file| keyed(file, "oom_kill") > 0)
    }

    /// What [`join`] takes.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for CompilerCgroup {
    fn drop(&mut self) {
        let removed = manager(&self.name).and_then(|manager| Ok(manager.remove()?));
        if let Err(error) = removed {
            log::debug!("the cgroup of a compiler stays: {error:#}");
        }
    }
}

/// This process's PID namespace, which a cgroup's name has after the pid of the compiler's
/// parent: several namespaces can share the cgroups.
fn pid_namespace() -> Result<String> {
    Ok(fs::metadata("/proc/self/ns/pid").context("/proc/self/ns/pid")?.ino().to_string())
}

/// Moves this process into the cgroup, and limits it.
pub fn join(name: &str) -> Result<()> {
    let manager = manager(name)?;
    // A shim in another PID namespace that finds it empty, a moment after it was made, removes it.
    let joined = manager.add_task(Pid::this()).or_else(|_| manager.add_task(Pid::this()));
    joined.context("cannot join the compiler's cgroup")?;
    let resources = limits()?;
    let options = ControllerOpt {
        resources: &resources,
        disable_oom_killer: false,
        oom_score_adj: None,
        freezer_state: None,
    };
    manager.apply(&options).context("cannot limit the compiler's cgroup")?;
    // All of them together have no more memory than one.
    let memory = LinuxMemoryBuilder::default().limit(i64::try_from(memory_limit()?)?).build()?;
    let resources = LinuxResourcesBuilder::default().memory(memory).build()?;
    let options = ControllerOpt { resources: &resources, ..options };
    self::manager("")?.apply(&options).context("cannot limit the compilers' cgroup")
}

/// Most memory of a compiler, in bytes: half of the machine's.
pub fn memory_limit() -> Result<u64> {
    Ok(machine_memory::total().context("cannot find out the machine's memory")? / 2)
}

fn limits() -> Result<LinuxResources> {
    let memory = LinuxMemoryBuilder::default().limit(i64::try_from(memory_limit()?)?).build()?;
    let cpu = LinuxCpuBuilder::default().shares(CPU_SHARES).build()?;
    let pids = LinuxPidsBuilder::default().limit(i64::try_from(MAX_THREADS + 1)?).build()?;
    Ok(LinuxResourcesBuilder::default().memory(memory).cpu(cpu).pids(pids).build()?)
}

fn manager(name: &str) -> Result<AnyCgroupManager> {
    let config = CgroupConfig {
        cgroup_path: Path::new("/").join(PARENT).join(name),
        systemd_cgroup: false,
        container_name: name.to_owned(),
    };
    create_cgroup_manager(config).context("cannot find the compiler's cgroup")
}

/// Removes the cgroups of compilers whose parents were killed, for as long as such compilers
/// may take to end.
pub async fn remove_left_when_ended() {
    let until = Instant::now() + END_TIMEOUT;
    while !remove_left() && Instant::now() < until {
        tokio::time::sleep(END_RETRY).await;
    }
}

/// Removes the cgroups of compilers whose parents were killed, and the empty ones of other
/// PID namespaces, whose parents cannot be seen from here. `true` if none of a killed parent
/// is left: its compiler ends a moment later, and the kernel removes empty cgroups only.
fn remove_left() -> bool {
    let Ok(own) = pid_namespace() else { return true };
    let mut removed = true;
    for directory in all() {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parent = name.split_once('-').filter(|(_, namespace)| *namespace == own).map(|(pid, _)| pid);
        if parent.is_some_and(|pid| Path::new("/proc").join(pid).exists()) {
            continue;
        }
        let stays = fs::remove_dir(&directory).is_err() && directory.exists();
        removed &= !(stays && parent.is_some());
    }
    removed
}

/// The directories of all cgroups of compilers, of each hierarchy.
fn all() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(DEFAULT_CGROUP_ROOT);
    let children = |directory: PathBuf| {
        fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
    };
    // cgroup v2, or the controllers of v1.
    let hierarchies = [root.to_owned()].into_iter().chain(children(root.to_owned()));
    hierarchies.flat_map(move |hierarchy| children(hierarchy.join(PARENT)))
}
