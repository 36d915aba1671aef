//! Locks between processes: whoever changes the cache, and whoever compiles.
//!
//! They belong to the open file, so the kernel releases them when a process ends, however
//! that happens. The locks of compilations are ranges of one file, which leaves no files
//! behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZero;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::CacheError;
use crate::machine_memory;

/// Memory of one compilation in bytes, as far as their number is concerned: what that of
/// a usual site needs, with reserve.
const COMPILATION_MEMORY: u64 = 256 << 20;

/// How often whoever waits for a slot looks again.
const POLL: Duration = Duration::from_millis(50);

/// Byte of the lock of whoever is next to compile; the slots come before it.
const NEXT: i64 = 1 << 16;

/// First byte of modules' locks.
const MODULES: i64 = 1 << 17;

/// Locks the directory against other changes until the file is closed.
pub fn change(cache: &Path) -> Result<File, CacheError> {
    let path = cache.join("lock");
    let locked = open(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| CacheError::System { what: "lock", path, source })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The right to compile a module. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    locks: File,
}

impl Turn {
    /// Waits until nobody else compiles the module of this digest.
    pub fn wait(cache: &Path, digest: &str) -> Result<Self, CacheError> {
        let path = cache.join("compiling");
        let locked = open(&path).and_then(|locks| {
            // 60 bits: two modules that share them only wait for each other.
            let digits = digest.get(..15).unwrap_or(digest);
            let number = i64::from_str_radix(digits, 16).unwrap_or_default();
            lock(&locks, MODULES + number)?;
            Ok(Self { locks })
        });
        locked.map_err(|source| CacheError::System { what: "lock", path, source })
    }

    /// Waits until there is memory and a processor for one more compilation. Those who wait
    /// get their turn in the order of their arrival.
    pub fn wait_for_slot(&self) -> io::Result<()> {
        self.wait_for_one_of(slots)
    }

    fn wait_for_one_of(&self, slots: impl Fn() -> u32) -> io::Result<()> {
        lock(&self.locks, NEXT)?;
        loop {
            for slot in 0..slots() {
                if try_lock(&self.locks, slot.into())? {
                    return unlock(&self.locks, NEXT);
                }
            }
            thread::sleep(POLL);
        }
    }
}

/// How many modules may be compiled at the same time now.
fn slots() -> u32 {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    slots_of(processors, machine_memory::available().unwrap_or_default())
}

fn slots_of(processors: usize, available_memory: u64) -> u32 {
    let by_memory = available_memory / COMPILATION_MEMORY;
    let slots = by_memory.min(processors as u64).max(1);
    u32::try_from(slots).unwrap_or(1).min(1 << 10)
}

fn range(kind: i32, at: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: at, l_len: 1, l_pid: 0 }
}

fn lock(file: &File, at: i64) -> io::Result<()> {
    loop {
        match fcntl(file.as_raw_fd(), FcntlArg::F_OFD_SETLKW(&range(libc::F_WRLCK, at))) {
            Err(Errno::EINTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

fn try_lock(file: &File, at: i64) -> io::Result<bool> {
    match fcntl(file.as_raw_fd(), FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, at))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn unlock(file: &File, at: i64) -> io::Result<()> {
    Ok(fcntl(file.as_raw_fd(), FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, at))).map(drop)?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(20);

    /// Runs something on another thread; the result comes over the channel.
    fn started<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (done, result) = channel();
        thread::spawn(move || done.send(run()));
        result
    }

    #[test]
    fn compilations_of_one_module_wait_for_each_other_and_of_others_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let turn = |digest: &str| {
            let (cache, digest) = (directory.path().to_owned(), digest.to_owned());
            started(move || Turn::wait(&cache, &digest).unwrap())
        };
        let first = turn("0123456789abcdef").recv_timeout(LATE).unwrap();
        let other = turn("1123456789abcdef").recv_timeout(LATE).unwrap();
        let same = turn("0123456789abcdef");
        assert_eq!(same.recv_timeout(SOON).unwrap_err(), RecvTimeoutError::Timeout);
        drop((first, other));
        same.recv_timeout(LATE).unwrap();
    }

    #[test]
    fn as_many_compile_at_once_as_there_are_slots() {
        let directory = tempfile::tempdir().unwrap();
        let compile = |digest: &str| {
            let turn = Turn::wait(directory.path(), digest).unwrap();
            started(move || turn.wait_for_one_of(|| 2).map(|()| turn).unwrap())
        };
        let one = compile("01").recv_timeout(LATE).unwrap();
        let _two = compile("02").recv_timeout(LATE).unwrap();
        let three = compile("03");
        assert_eq!(three.recv_timeout(SOON).unwrap_err(), RecvTimeoutError::Timeout);
        drop(one);
        three.recv_timeout(LATE).unwrap();
    }

    #[test]
    fn a_compiler_that_is_killed_leaves_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let turn = Turn::wait(directory.path(), "01").unwrap();
        turn.wait_for_one_of(|| 1).unwrap();
        // The open file goes to another process, which is all that holds it then.
        let held = Stdio::from(turn.locks);
        let mut killed = Command::new("sleep").arg("1000").stdin(held).spawn().unwrap();
        let cache = directory.path().to_owned();
        let next = started(move || {
            let turn = Turn::wait(&cache, "01").unwrap();
            turn.wait_for_one_of(|| 1).unwrap();
        });
        assert_eq!(next.recv_timeout(SOON).unwrap_err(), RecvTimeoutError::Timeout);
        killed.kill().unwrap();
        killed.wait().unwrap();
        next.recv_timeout(LATE).unwrap();
    }

    #[test]
    fn slots_follow_processors_and_memory() {
        for (processors, mebibytes, slots) in
            [(4, 8 << 10, 4), (4, 600, 2), (4, 100, 1), (1, 8 << 10, 1), (0, 0, 1)]
        {
            assert_eq!(slots_of(processors, mebibytes << 20), slots, "{processors}, {mebibytes} MiB");
        }
        assert!(machine_memory::available().is_ok());
    }
}
