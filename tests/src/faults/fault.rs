//! The faults: what each kills or fills.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::random::Random;
use super::victims::{self, Process};
use crate::{Containerd, shell, under_test};

/// How long to look for a process to kill that exists only now and then.
const HUNT: Duration = Duration::from_secs(8);

/// Small file systems for containerd: its state, its root, and the code cache below that.
pub const DISKS: [(&str, &str); 3] = [("8m", "state"), ("96m", "root"), ("48m", "root/io.containerd.ssr.v1")];

/// Variable of a machine that does nothing else: its clock may be changed, and nothing but
/// that happens.
const OWN_CLOCK: &str = "SSR_SOAK_OWN_CLOCK";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A shim is killed.
    Shim,
    /// A container's first process is killed.
    Init,
    /// A process that exec has added is killed.
    Exec,
    /// runc is killed at work.
    Runc,
    /// A helper is killed at work.
    Helper,
    /// The process that provides code is killed at work.
    Provider,
    /// A compiler is killed at work.
    Compiler,
    /// containerd is killed, and restarted.
    Containerd,
    /// The disk of containerd's state directory is full for a while.
    FullState,
    /// The disk of containerd's root directory is full for a while.
    FullRoot,
    /// The code cache's disk is full for a while.
    FullCache,
    /// The clock jumps.
    Clock,
}

/// What a fault has hit.
#[derive(Debug, Clone, Default)]
pub struct Hit {
    /// The containers that it affects. Others must not notice.
    pub containers: Vec<String>,
    /// Whether it affects all containers that are created, started or removed meanwhile.
    pub operations: bool,
    /// For people.
    pub what: String,
}

impl Fault {
    /// Those that can happen to the runtime under test.
    pub fn possible() -> Vec<Self> {
        if std::env::var_os(OWN_CLOCK).is_some() {
            return vec![Self::Clock];
        }
        let mut faults = vec![Self::Shim, Self::Init, Self::Exec, Self::Runc, Self::Containerd];
        faults.extend([Self::FullState, Self::FullRoot]);
        if under_test::is_ours() {
            faults.extend([Self::Helper, Self::Provider, Self::Compiler, Self::FullCache]);
        }
        faults
    }

    /// In the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shim => "shim killed",
            Self::Init => "container's first process killed",
            Self::Exec => "exec'd process killed",
            Self::Runc => "runc killed at work",
            Self::Helper => "helper killed at work",
            Self::Provider => "code provider killed at work",
            Self::Compiler => "compiler killed at work",
            Self::Containerd => "containerd killed",
            Self::FullState => "disk of containerd's state full",
            Self::FullRoot => "disk of containerd's root full",
            Self::FullCache => "disk of the code cache full",
            Self::Clock => "clock jumps",
        }
    }

    /// Whether a module must be compiled for it.
    pub fn needs_compilation(self) -> bool {
        matches!(self, Self::Provider | Self::Compiler | Self::FullCache)
    }

    /// Makes it happen to a container whose id begins with `prefix`, or to `spared`, which
    /// must not be killed itself. `None` if there was nothing to hit.
    pub fn happen(
        self,
        containerd: &Containerd,
        prefix: &str,
        spared: &str,
        random: &mut Random,
    ) -> Option<Hit> {
        match self {
            Self::Containerd => {
                containerd.restart("KILL");
                Some(Hit { operations: true, ..Hit::default() })
            }
            Self::FullState => Some(fill(containerd, &DISKS[0], random)),
            Self::FullRoot => Some(fill(containerd, &DISKS[1], random)),
            Self::FullCache => {
                // What is not compiled now would not be written.
                clear_cache(containerd);
                let hit = fill(containerd, &DISKS[2], random);
                Some(Hit { operations: false, ..hit })
            }
            Self::Clock => Some(jump(random)),
            _ => self.hunt(containerd, prefix, spared, random),
        }
    }

    fn hunt(self, containerd: &Containerd, prefix: &str, spared: &str, random: &mut Random) -> Option<Hit> {
        let start = Instant::now();
        let mut cleared = start;
        while start.elapsed() < HUNT {
            if self.needs_compilation() && cleared.elapsed() > Duration::from_secs(1) {
                clear_cache(containerd);
                cleared = Instant::now();
            }
            let processes = victims::below(containerd.init_pid());
            let found: Vec<&Process> =
                processes.iter().filter(|process| process.is_victim_of(self, prefix, spared)).collect();
            if let Some(victim) = random.choose(&found) {
                thread::sleep(random.millis(0..4));
                let pid = Pid::from_raw(i32::try_from(victim.pid).expect("a process id"));
                if kill(pid, Signal::SIGKILL).is_ok() {
                    return Some(Hit {
                        containers: victim.container.iter().cloned().collect(),
                        operations: false,
                        what: victim.shown(),
                    });
                }
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

/// Removes all code from the node's cache, and the failures that it remembers.
pub fn clear_cache(containerd: &Containerd) {
    let cache = containerd.seen(&containerd.code_cache());
    for entry in fs::read_dir(&cache).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "code") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir_all(cache.join("failed"));
}

fn fill(containerd: &Containerd, disk: &(&str, &str), random: &mut Random) -> Hit {
    let file = containerd.seen(&containerd.dir().join(disk.1)).join("fill");
    let written = write_all_that_fits(&file);
    thread::sleep(random.millis(200..900));
    fs::remove_file(&file).expect("a file that fills a disk");
    Hit { operations: true, what: format!("{} KiB were free", written / 1024), ..Hit::default() }
}

fn write_all_that_fits(path: &Path) -> usize {
    let mut file = fs::File::create(path).expect("a file on a small disk");
    let (mut written, mut block) = (0, vec![1; 1 << 20]);
    while !block.is_empty() {
        match file.write(&block) {
            Ok(count) => written += count,
            Err(_) => block.truncate(block.len() / 2),
        }
    }
    written
}

/// Sets the machine's clock an hour ahead or back, and later back again.
fn jump(random: &mut Random) -> Hit {
    let ahead = random.chance(50);
    let set = |ahead: bool| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let then = if ahead { now.as_secs() + 3600 } else { now.as_secs() - 3600 };
        shell::run(std::process::Command::new("date").args(["-s", &format!("@{then}")])).success();
    };
    set(ahead);
    thread::sleep(random.millis(500..3000));
    set(!ahead);
    Hit { what: (if ahead { "an hour ahead" } else { "an hour back" }).to_owned(), ..Hit::default() }
}

/// Where the cgroups of compilers are, which are outside of the engine's own.
pub fn cgroups_of_compilers() -> Vec<PathBuf> {
    let mut all = crate::leaks::cgroups("ssr-compilers");
    all.retain(|path| !path.ends_with("ssr-compilers"));
    all
}
