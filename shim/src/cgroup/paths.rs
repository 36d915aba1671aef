//! Where the kernel keeps a process's counters, and how to read them: the directories of
//! cgroup v1's controllers, and of cgroup v2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libcgroups::common::{CgroupSetup, DEFAULT_CGROUP_ROOT, get_cgroup_setup};

/// Whether this machine has cgroup v2 only.
pub fn unified() -> bool {
    matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified))
}

/// The cgroups that a process is in.
pub struct Controllers(String);

impl Controllers {
    pub fn of_process(pid: i32) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).map(Self)
    }

    /// The directory of a cgroup v1 controller.
    pub fn v1(&self, wanted: &str) -> Option<PathBuf> {
        let (_, path) = self.lines().find(|(names, _)| names.split(',').any(|name| name == wanted))?;
        Some(Path::new(DEFAULT_CGROUP_ROOT).join(wanted).join(path))
    }

    /// The directory of cgroup v2.
    pub fn v2(&self) -> Option<PathBuf> {
        let (_, path) = self.lines().find(|(names, _)| names.is_empty())?;
        Some(Path::new(DEFAULT_CGROUP_ROOT).join(path))
    }

    /// All directories: one for each hierarchy that is mounted.
    pub fn directories(&self) -> Vec<PathBuf> {
        let directory = |(names, path): (&str, &str)| {
            let mut roots = names.split(',').map(|name| name.strip_prefix("name=").unwrap_or(name));
            // Each controller of a shared hierarchy has a link of its own, or they have one
            // directory together. cgroup v2 may be mounted beside v1.
            let found = roots.find_map(|name| {
                Some(Path::new(DEFAULT_CGROUP_ROOT).join(name)).filter(|root| root.exists())
            });
            let shared = Path::new(DEFAULT_CGROUP_ROOT).join(names);
            let root = match names {
                "" if unified() => PathBuf::from(DEFAULT_CGROUP_ROOT),
                "" => Path::new(DEFAULT_CGROUP_ROOT).join("unified"),
                _ => found.unwrap_or(shared),
            };
            Some(root.join(path)).filter(|directory| directory.join("cgroup.procs").exists())
        };
        self.lines().filter_map(directory).collect()
    }

    /// The controllers that share a hierarchy, and the path in it.
    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            Some((names, path.trim_start_matches('/')))
        })
    }
}

/// The number in a file; 0 if there is none or it is `max`.
pub fn number(file: &Path) -> u64 {
    fs::read_to_string(file).unwrap_or_default().trim().parse().unwrap_or(0)
}

/// The number after a key in a file of keys and numbers; 0 if there is none.
pub fn keyed(file: &Path, key: &str) -> u64 {
    keyed_in(&fs::read_to_string(file).unwrap_or_default(), key)
}

/// The same in the text of such a file, of which several numbers are needed.
pub fn keyed_in(text: &str, key: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_on_both_versions_and_in_shared_hierarchies() {
        let mixed = Controllers("12:cpu,cpuacct:/a/b\n4:memory:/default/site\n0::/\n".to_owned());
        assert_eq!(mixed.v1("cpuacct"), Some("/sys/fs/cgroup/cpuacct/a/b".into()));
        assert_eq!(mixed.v1("memory"), Some("/sys/fs/cgroup/memory/default/site".into()));
        assert_eq!(mixed.v1("pids"), None);
        let unified = Controllers("0::/system.slice/docker-1.scope\n".to_owned());
        assert_eq!(unified.v1("memory"), None);
        assert_eq!(unified.v2(), Some("/sys/fs/cgroup/system.slice/docker-1.scope".into()));
        assert_eq!(Controllers(String::new()).v2(), None);
    }

    #[test]
    fn keys_match_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events");
        for (text, kills) in
            [("low 0\noom 7\noom_kill 3\n", 3), ("oom_kill_disable 1\nunder_oom 0\noom_kill 2\n", 2), ("", 0)]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(keyed(&file, "oom_kill"), kills);
        }
        fs::write(&file, "max\n").unwrap();
        assert_eq!(number(&file), 0);
        assert_eq!(number(&directory.path().join("none")), 0);
    }
}
