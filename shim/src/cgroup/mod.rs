//! A container's cgroup, on cgroup v1 and v2: its processes and limits, and in the
//! modules below its counters.

pub mod of_compilers;
pub mod oom;
pub mod paths;
pub mod stats;
pub mod systemd;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, DEFAULT_CGROUP_ROOT, FreezerState,
    create_cgroup_manager,
};
use libcontainer::oci_spec::runtime::{LinuxResources, Spec};
use nix::unistd::Pid;

use crate::signals;
use paths::{Controllers, unified};

/// How long killed processes may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long processes may take to be frozen or thawed.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// A container's cgroup.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
    id: String,
    /// Its directory, if systemd manages it on cgroup v2: to ask systemd for that takes a
    /// connection to a bus that may be slow or gone.
    scope: Option<PathBuf>,
}

impl Cgroup {
    /// The cgroup that a container's configuration names. `systemd` says whether systemd
    /// manages it.
    pub fn of_spec(spec: &Spec, id: &str, systemd: bool) -> Self {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
        let path = libcontainer::utils::get_cgroup_path(&path, id);
        let scope = (systemd && unified()).then(|| systemd::directory(&path)).flatten();
        Self { path, id: id.to_owned(), scope }
    }

    /// The same, once this process is in it.
    pub fn of_process(self, pid: i32) -> Self {
        let found = self.scope.and_then(|scope| Controllers::of_process(pid).ok()?.v2().or(Some(scope)));
        Self { scope: found, ..self }
    }

    /// Whether a manager can be asked for it now.
    ///
    /// # Errors
    /// If that is systemd, and it cannot be reached.
    pub fn check_manager(&self) -> Result<()> {
        if self.scope.is_some() { systemd::check_bus() } else { Ok(()) }
    }

    /// Creates the directories above it on cgroup v2: libcgroups 0.7 fails if two containers
    /// create the same one at the same time.
    pub fn make_parents(&self) -> Result<()> {
        if self.scope.is_some() || !unified() {
            return Ok(());
        }
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        let Some(parent) = below.parent() else { return Ok(()) };
        let parent = Path::new(DEFAULT_CGROUP_ROOT).join(parent);
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot create '{}'", parent.display()))
    }

    fn manager(&self) -> Result<AnyCgroupManager> {
        let config = CgroupConfig {
            cgroup_path: self.path.clone(),
            systemd_cgroup: self.scope.is_some(),
            container_name: self.id.clone(),
        };
        create_cgroup_manager(config).context("cannot find the container's cgroup")
    }

    /// The pids of all its processes.
    pub fn pids(&self) -> Result<Vec<i32>> {
        match &self.scope {
            Some(directory) => Ok(pids_below(directory)),
            None => all_pids(&self.manager()?),
        }
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, signal: i32) -> Result<()> {
        signal_all(self.pids()?, signal, || self.pids())
    }

    /// Freezes or thaws all its processes.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let (state, what) = match frozen {
            true => (FreezerState::Frozen, "pause"),
            false => (FreezerState::Thawed, "resume"),
        };
        let done = match &self.scope {
            Some(directory) => freeze_unified(directory, frozen),
            None => self.manager()?.freeze(state).map_err(anyhow::Error::from),
        };
        done.with_context(|| format!("cannot {what} the container"))
    }

    /// Sets new limits.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.check_manager()?;
        let options =
            ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
        self.manager()?.apply(&options).context("cannot set the container's limits")
    }

    /// Kills all its processes and removes it. `reachable` says whether its manager can be
    /// asked; see [`Self::check_manager`].
    pub fn remove(&self, reachable: bool) -> Result<()> {
        if let Some(scope) = self.scope.as_ref().filter(|_| !reachable) {
            return remove_scope(scope);
        }
        let Ok(manager) = self.manager() else { return Ok(()) };
        // On cgroup v1 a frozen process does not die.
        let _ = manager.freeze(FreezerState::Thawed);
        kill_all(|| all_pids(&manager));
        let directories = self.directories();
        directories.iter().for_each(|directory| remove_children(directory));
        manager.remove().context("cannot remove the container's cgroup")?;
        // libcgroups does not know all of them.
        for directory in directories {
            let _ = std::fs::remove_dir(directory);
        }
        Ok(())
    }

    /// Its directories where they follow from its path: in cgroup v2, or in each hierarchy of
    /// v1. Those include hierarchies without controllers (`systemd`, `unified`), which runc
    /// joins, and leaves behind when it is killed. systemd removes its scopes as a whole.
    fn directories(&self) -> Vec<PathBuf> {
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        let root = Path::new(DEFAULT_CGROUP_ROOT);
        match (self.scope.is_some(), unified()) {
            (true, _) => Vec::new(),
            (false, true) => vec![root.join(below)],
            (false, false) => {
                let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten();
                hierarchies.map(|hierarchy| hierarchy.path().join(below)).collect()
            }
        }
    }
}

/// Kills processes until there are none, for a limited time.
fn kill_all(pids: impl Fn() -> Result<Vec<i32>>) {
    let until = Instant::now() + KILL_TIMEOUT;
    while let Ok(now) = pids()
        && !now.is_empty()
        && Instant::now() < until
    {
        let _ = signal_all(now, libc::SIGKILL, &pids);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills the processes of a scope and leaves its removal to systemd, which notices that it is
/// empty.
fn remove_scope(directory: &Path) -> Result<()> {
    let _ = std::fs::write(directory.join("cgroup.freeze"), "0");
    kill_all(|| Ok(pids_below(directory)));
    remove_children(directory);
    let until = Instant::now() + KILL_TIMEOUT;
    while directory.exists() {
        anyhow::ensure!(Instant::now() < until, "systemd does not remove '{}'", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Removes the cgroups below a directory that have no processes, as a privileged container
/// can make them. The kernel removes a cgroup only if there is none below it.
fn remove_children(directory: &Path) {
    for child in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_children(&child.path());
            let _ = std::fs::remove_dir(child.path());
        }
    }
}

fn all_pids(manager: &AnyCgroupManager) -> Result<Vec<i32>> {
    let pids = manager.get_all_pids().context("cannot list the container's processes")?;
    Ok(pids.into_iter().map(Pid::as_raw).collect())
}

/// Sends a signal to processes, each of which `pids_now` must still name once its pid can no
/// longer become another process's. One that has ended meanwhile is no error; of the others,
/// each gets its signal before the first error is returned.
fn signal_all(pids: Vec<i32>, signal: i32, pids_now: impl Fn() -> Result<Vec<i32>>) -> Result<()> {
    let send =
        |pid| signals::send_if(pid, signal, || pids_now().is_ok_and(|pids| pids.contains(&pid))).map(drop);
    pids.into_iter().map(send).fold(Ok(()), Result::and)
}

/// The pids in a directory of cgroup v2 and in all below it. One that is gone has none.
fn pids_below(directory: &Path) -> Vec<i32> {
    let own = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(pids_below(&entry.path()));
        }
    }
    pids
}

/// Freezes or thaws cgroup v2, and waits until it is.
fn freeze_unified(directory: &Path, frozen: bool) -> Result<()> {
    let wanted = u64::from(frozen);
    std::fs::write(directory.join("cgroup.freeze"), wanted.to_string())?;
    let until = Instant::now() + FREEZE_TIMEOUT;
    while paths::keyed(&directory.join("cgroup.events"), "frozen") != wanted {
        anyhow::ensure!(Instant::now() < until, "its processes do not stop within {FREEZE_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
