//! Notices that the kernel has killed one of a container's processes because
//! the container's memory limit was reached.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's count of such kills in one memory cgroup.
#[derive(Debug)]
pub struct OomKills {
    file: PathBuf,
    unified: bool,
    told: AtomicU64,
}

impl OomKills {
    /// Those of the memory cgroup that the process is in. `None` if it is in
    /// none: Raspberry Pi OS boots without, unless cmdline.txt says otherwise.
    pub fn of_process(pid: i32) -> Option<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let (unified, directory) = memory_cgroup(&cgroups)?;
        let file = match unified {
            true => directory.join("memory.events"),
            false => directory.join("memory.oom_control"),
        };
        file.exists().then_some(Self { file, unified, told: AtomicU64::new(0) })
    }

    /// Whether there were any since the last call.
    pub fn any_new(&self) -> bool {
        let events = fs::read_to_string(&self.file).unwrap_or_default();
        let kills = count(&events);
        self.told.fetch_max(kills, Ordering::SeqCst) < kills
    }

    /// What becomes readable when there may be new ones.
    pub fn watch(&self) -> Result<Watch> {
        let descriptor = match self.unified {
            true => self.watch_file(),
            false => self.watch_events(),
        };
        let descriptor = descriptor.with_context(|| format!("cannot watch '{}'", self.file.display()))?;
        // SAFETY: the AsyncFd owns the descriptor, which stays open as long.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Watch(watched.map_err(std::io::Error::from)?))
    }

    fn watch_file(&self) -> Result<OwnedFd> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(&self.file, AddWatchFlags::IN_MODIFY)?;
        // nix does not hand over what it has opened.
        Ok(inotify.as_fd().try_clone_to_owned()?)
    }

    /// cgroup v1 tells through an eventfd that is registered with the cgroup.
    fn watch_events(&self) -> Result<OwnedFd> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let control = File::open(&self.file)?;
        let registration = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        fs::write(self.file.with_file_name("cgroup.event_control"), registration)?;
        Ok(event.into())
    }
}

/// See [`OomKills::watch`].
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Waits until there may be new kills. An error ends the watch.
    pub async fn changed(&self) -> Result<()> {
        let mut ready = self.0.readable().await?;
        let mut events = [0_u8; 4096];
        // What it says does not matter: the count is read from the file.
        let _ = ready.try_io(|descriptor| Ok(nix::unistd::read(descriptor.as_raw_fd(), &mut events)?));
        Ok(())
    }
}

/// The memory cgroup's directory in what /proc/PID/cgroup says, and whether it is cgroup v2.
fn memory_cgroup(cgroups: &str) -> Option<(bool, PathBuf)> {
    let mut lines = cgroups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some((controllers, path.trim_start_matches('/')))
    });
    // With both versions mounted, memory is v1's.
    let v1 = lines.clone().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    match v1 {
        Some((_, path)) => Some((false, PathBuf::from("/sys/fs/cgroup/memory").join(path))),
        None => lines
            .find(|(controllers, _)| controllers.is_empty())
            .map(|(_, path)| (true, PathBuf::from("/sys/fs/cgroup").join(path))),
    }
}

fn count(events: &str) -> u64 {
    let mut counts = events.lines().filter_map(|line| line.strip_prefix("oom_kill "));
    counts.next().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_cgroup_is_found_on_either_version() {
        let v1 = "12:cpu,cpuacct:/a\n4:memory:/default/site\n0::/\n";
        assert_eq!(memory_cgroup(v1), Some((false, "/sys/fs/cgroup/memory/default/site".into())));
        let v2 = "0::/system.slice/docker-1.scope\n";
        assert_eq!(memory_cgroup(v2), Some((true, "/sys/fs/cgroup/system.slice/docker-1.scope".into())));
        assert_eq!(memory_cgroup(""), None);
    }

    #[test]
    fn kills_are_counted_and_nothing_else() {
        assert_eq!(count("low 0\noom 7\noom_kill 3\noom_group_kill 1\n"), 3);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(count(""), 0);
    }
}
