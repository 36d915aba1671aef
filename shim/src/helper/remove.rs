//! Removes what is left of a container.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::command::Done;
use super::error_chain::error_chain;
use super::make::load;
use super::mounts::root::unmount_all;
use crate::cgroup::Cgroup;
use crate::oci::spec;

/// The file in a bundle that is locked by whoever makes processes of the container.
const LOCK: &str = "runtime.lock";

/// How long killed processes may take to release the lock.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Removes everything there is. A cgroup without processes that cannot be removed is
/// [`Done::Left`]: whoever made it unremovable must not keep the container from being deleted.
///
/// # Errors
/// The first failure to end the container's processes or to unmount its root.
pub fn delete(bundle: &Path, id: &str, systemd: bool) -> Result<Done> {
    // Missing if containerd was killed while it removed the bundle; it removes the rest later.
    let cgroup = match bundle.join("config.json").exists() {
        true => Some(Cgroup::of_spec(&spec::load(bundle)?, id, systemd)),
        false => None,
    };
    let waited = cgroup.as_ref().map_or(Ok(()), |cgroup| wait_for_lock(bundle, cgroup));
    // It would wait for systemd, too. Its state goes with the bundle.
    let reachable = cgroup.as_ref().is_none_or(|cgroup| cgroup.check_manager().is_ok());
    let removed = match load(bundle, id) {
        Ok(mut container) if reachable => container.delete(true).map_err(error_chain),
        // It was never made, or is removed already.
        _ => Ok(()),
    };
    let removed = removed.context("cannot remove the container");
    let swept = cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.remove(reachable));
    let unmounted = unmount_all(bundle);
    waited.and(unmounted)?;
    let Err(error) = removed.and(swept) else { return Ok(Done::Nothing) };
    match cgroup.map_or(Ok(Vec::new()), |cgroup| cgroup.pids()) {
        Ok(pids) if pids.is_empty() => Ok(Done::Left(format!("{error:#}"))),
        _ => Err(error),
    }
}

/// Keeps the container from being deleted while this helper, or a process that it forked,
/// makes it: those outlive a killed helper and create cgroups.
pub fn lock(bundle: &Path) -> Result<File> {
    let path = bundle.join(LOCK);
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let locked = file.and_then(|file| file.lock_shared().map(|()| file));
    locked.with_context(|| format!("cannot lock '{}'", path.display()))
}

/// Waits until nobody makes processes of the container, and kills its processes
/// meanwhile: one that waits to be started is still a copy of the helper.
fn wait_for_lock(bundle: &Path, cgroup: &Cgroup) -> Result<()> {
    // If there is none, nothing was made.
    let Ok(lock) = File::open(bundle.join(LOCK)) else { return Ok(()) };
    let until = Instant::now() + KILL_TIMEOUT;
    while lock.try_lock().is_err() {
        ensure!(
            Instant::now() < until,
            "processes that make the container do not end: {LOCK} is held after {KILL_TIMEOUT:?}"
        );
        let _ = cgroup.signal(libc::SIGKILL);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
