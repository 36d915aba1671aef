//! Notices when the kernel kills a process of a container at its memory limit.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::paths::{Controllers, keyed};

/// The kernel's count of such kills in one memory cgroup.
#[derive(Debug)]
pub struct OomKills {
    file: PathBuf,
    unified: bool,
    reported: AtomicU64,
}

impl OomKills {
    /// The count of a process's memory cgroup; `None` if it has none: Raspberry Pi OS boots
    /// without the memory controller unless cmdline.txt enables it.
    pub fn of_process(pid: i32) -> Option<Self> {
        let controllers = Controllers::of_process(pid).ok()?;
        // With both versions mounted, v1 has the memory controller.
        let (unified, file) = match controllers.v1("memory") {
            Some(directory) => (false, directory.join("memory.oom_control")),
            None => (true, controllers.v2()?.join("memory.events")),
        };
        file.exists().then_some(Self { file, unified, reported: AtomicU64::new(0) })
    }

    /// Whether there were any since the last call.
    pub fn any_new(&self) -> bool {
        let kills = keyed(&self.file, "oom_kill");
        self.reported.fetch_max(kills, Ordering::SeqCst) < kills
    }

    /// Notices when there may be new kills.
    pub fn watch(&self) -> Result<Watch> {
        let descriptor = match self.unified {
            true => self.watch_file(),
            false => self.watch_events(),
        };
        let descriptor = descriptor.with_context(|| format!("cannot watch '{}'", self.file.display()))?;
        // SAFETY: the AsyncFd owns the descriptor and keeps it open.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Watch(watched.map_err(std::io::Error::from)?))
    }

    fn watch_file(&self) -> Result<OwnedFd> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(&self.file, AddWatchFlags::IN_MODIFY)?;
        // nix does not give up the descriptor that it owns.
        Ok(inotify.as_fd().try_clone_to_owned()?)
    }

    /// cgroup v1 signals an eventfd that is registered with the cgroup.
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
        // The contents do not matter: the count is read from the file.
        let _ = ready.try_io(|descriptor| Ok(nix::unistd::read(descriptor.as_raw_fd(), &mut events)?));
        Ok(())
    }
}
