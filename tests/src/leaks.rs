//! What a container or a containerd may leave behind: processes, mounts, cgroups.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything that still belongs to the containerd in `dir` or to its containers
/// in `namespace`, each as a line for a person.
pub fn of(dir: &Path, namespace: &str) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mut left = processes(&dir, namespace);
    left.extend(mounts(&dir));
    left.extend(cgroups(namespace).iter().map(|path| format!("cgroup {}", path.display())));
    left
}

/// Processes that name the directory in their command line (containerd and its
/// shims do) or that run in one of the namespace's cgroups.
fn processes(dir: &str, namespace: &str) -> Vec<String> {
    all_processes()
        .filter(|(pid, command)| {
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            command.contains(dir) || cgroup.contains(namespace)
        })
        .map(|(pid, command)| format!("process {pid}: {command}"))
        .collect()
}

/// The process with exactly this command line.
pub fn process(command: &str) -> Option<u32> {
    all_processes().find(|(_, other)| other.trim_end() == command).map(|(pid, _)| pid)
}

/// Every process but this one: its id and its command line.
fn all_processes() -> impl Iterator<Item = (u32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        (pid != std::process::id()).then_some((pid, command))
    })
}

fn mounts(dir: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    mounts.lines().filter(|line| line.contains(dir)).map(|line| format!("mount {line}")).collect()
}

/// The namespace's directories in every hierarchy, deepest first.
pub fn cgroups(namespace: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    find(Path::new("/sys/fs/cgroup"), namespace, false, &mut found);
    found
}

fn find(dir: &Path, namespace: &str, inside: bool, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let inside = inside || entry.file_name().to_string_lossy() == namespace;
        find(&entry.path(), namespace, inside, found);
        if inside {
            found.push(entry.path());
        }
    }
}

/// Removes the namespace's cgroups once their processes have ended.
pub fn remove_cgroups(namespace: &str) {
    // A cgroup is busy until the kernel is done with the last of its processes.
    let gone = crate::shell::poll(|| {
        let left = cgroups(namespace);
        for path in &left {
            let _ = fs::remove_dir(path);
        }
        cgroups(namespace).is_empty().then_some(())
    });
    if gone.is_none() {
        eprintln!("cgroups of {namespace} cannot be removed");
    }
}
