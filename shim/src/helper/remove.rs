//! Removes what is left of a container.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::error_chain::error_chain;
use super::make::load;
use super::root::unmount_root;
use crate::cgroup::Cgroup;
use crate::oci::spec;

/// The file in a bundle that is locked by whoever makes processes of the container.
const LOCK: &str = "runtime.lock";

/// How long killed processes may take to release the lock.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Removes everything there is, and reports the first failure.
pub fn delete(bundle: &Path, id: &str, systemd: bool) -> Result<()> {
    // Missing if containerd was killed while it removed the bundle; it removes the rest later.
    let cgroup = match bundle.join("config.json").exists() {
        true => Some(Cgroup::of_spec(&spec::load(bundle)?, id, systemd)),
        false => None,
    };
    let waited = cgroup.as_ref().map_or(Ok(()), |cgroup| wait_for_lock(bundle, cgroup));
    let removed = match load(bundle, id) {
        Ok(mut container) => container.delete(true).map_err(error_chain),
        // It was never made, or is removed already.
        Err(_) => Ok(()),
    };
    let swept = cgroup.map_or(Ok(()), |cgroup| cgroup.remove());
    let unmounted = unmount_root(bundle);
    waited.and(removed.context("cannot remove the container")).and(swept).and(unmounted)
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
