//! Running engines.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::engine::Engine;
use crate::files::root::Root;

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    directory: PathBuf,
    arguments: Vec<String>,
}

impl Process {
    /// The containerd of an engine: the one with the engine's configuration.
    pub fn of_containerd(root: &Root, engine: Engine) -> Option<Self> {
        if engine == Engine::Docker {
            // dockerd starts one of its own where there is no service.
            return Self::named(root, "dockerd").or_else(|| Self::of_containerd(root, Engine::Containerd));
        }
        let config = engine.containerd_config();
        let all = Self::all(root, "containerd");
        let names = |process: &Self| process.arguments.iter().any(|argument| argument.contains(config));
        match engine {
            // Started without a configuration's name it reads this one.
            Engine::Containerd => all.into_iter().find(|process| {
                let other = |argument: &String| argument == "-c" || argument.starts_with("--config");
                names(process) || !process.arguments.iter().any(other)
            }),
            _ => all.into_iter().find(names),
        }
    }

    /// The first process with a name.
    pub fn named(root: &Root, name: &str) -> Option<Self> {
        Self::all(root, name).into_iter().next()
    }

    fn all(root: &Root, name: &str) -> Vec<Self> {
        if !root.is_machine() {
            return Vec::new();
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| {
            let directory = entry.path();
            let comm = fs::read_to_string(directory.join("comm")).ok()?;
            if comm.trim_end() != name {
                return None;
            }
            let line = fs::read(directory.join("cmdline")).ok()?;
            let arguments = line
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            Some(Self { directory, arguments })
        });
        found.collect()
    }

    /// A variable of its environment, at its start.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let environment = fs::read(self.directory.join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(format!("{name}=").as_bytes()))?;
        Some(OsString::from_vec(value.to_vec()))
    }

    /// When it was started.
    pub fn started(&self) -> Option<SystemTime> {
        let stat = fs::read_to_string(self.directory.join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let ticks: u64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        // SAFETY: this only reads a number of the system's.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(boot) + Duration::from_millis(ticks * 1000 / per_second.max(1)))
    }

    /// Whether it was started before a file was changed, and so has not read it.
    pub fn is_older_than(&self, file: &Path) -> bool {
        let changed = fs::metadata(file).and_then(|metadata| metadata.modified());
        match (self.started(), changed) {
            // The time of the boot is known to a second.
            (Some(started), Ok(changed)) => changed > started + Duration::from_secs(1),
            _ => false,
        }
    }
}
