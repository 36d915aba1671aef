//! Finds what containers and engines leave behind: processes, mounts, cgroups, sockets
//! and files.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything that is left of the engine in `dir` and of its containers in cgroups called
/// `cgroup`, one readable line each.
pub fn left_by_engine(dir: &Path, cgroup: &str) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mut left = processes(&dir, cgroup);
    let mounts = mounts(std::process::id()).into_iter().filter(|line| line.contains(&*dir));
    left.extend(mounts.map(|line| format!("mount {line}")));
    left.extend(cgroups(cgroup).iter().map(|path| format!("cgroup {}", path.display())));
    left
}

/// Everything that containers have left behind while their engine runs. `init_pid` is the
/// init process above the engine; `mounts_before` lists the mounts before the first
/// container.
pub fn left_by_containers(init_pid: u32, dir: &Path, cgroup: &str, mounts_before: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    let processes = descendants(init_pid).into_iter().map(|pid| (pid, command(pid)));
    let others = processes.filter(|(pid, command)| {
        let engine = ["containerd ", "dockerd "].iter().any(|engine| command.starts_with(engine));
        !engine && *pid != std::process::id()
    });
    left.extend(others.map(|(pid, command)| format!("process {pid}: {command}")));
    let mounts = mounts(init_pid).into_iter().filter(|line| !mounts_before.contains(line));
    left.extend(mounts.map(|line| format!("mount {line}")));
    left.extend(cgroups(cgroup).iter().filter(|path| !path.ends_with(cgroup)).map(|path| {
        // The cgroup itself, the parent of all containers' cgroups, is left by containerd.
        format!("cgroup {}", path.display())
    }));
    let root = PathBuf::from(format!("/proc/{init_pid}/root"));
    left.extend(entries(&root.join("run/containerd/s")));
    let state = root.join(dir.strip_prefix("/").expect("an absolute path")).join("state");
    for namespace in directories(&state.join("io.containerd.runtime.v2.task")) {
        // containerd renames an OCI bundle before it removes it. One with such a name was
        // left when containerd was killed, not by the shim.
        left.extend(entries(&namespace).into_iter().filter(|bundle| !bundle.contains("/.")));
    }
    left
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn entries(dir: &Path) -> Vec<String> {
    directories(dir).iter().map(|path| format!("file {}", path.display())).collect()
}

/// Processes that have the directory in their command line, as containerd and its shims
/// do, or that run in one of the cgroups.
fn processes(dir: &str, cgroup: &str) -> Vec<String> {
    all_processes()
        .filter(|(pid, command)| {
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            command.contains(dir) || cgroups.contains(cgroup)
        })
        .map(|(pid, command)| format!("process {pid}: {command}"))
        .collect()
}

/// The process with exactly this command line.
pub fn process(command: &str) -> Option<u32> {
    all_processes().find(|(_, other)| other.trim_end() == command).map(|(pid, _)| pid)
}

/// The processes whose command line contains all the words.
pub fn processes_with(words: &[&str]) -> Vec<u32> {
    let matches = |command: &str| words.iter().all(|word| command.contains(word));
    all_processes().filter(|(_, command)| matches(command)).map(|(pid, _)| pid).collect()
}

/// Every other process: its id and its command line.
fn all_processes() -> impl Iterator<Item = (u32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let gone = !Path::new(&format!("/proc/{pid}")).exists();
        (!gone && pid != std::process::id()).then(|| (pid, command(pid)))
    })
}

/// A process's command line, with a space after each argument. A process without one,
/// such as a zombie, is shown by its name in brackets.
pub fn command(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if command.is_empty() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        return format!("[{}]", name.trim_end());
    }
    String::from_utf8_lossy(&command).replace('\0', " ")
}

/// The children of all threads of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = directories(Path::new(&format!("/proc/{pid}/task")));
    let lists = threads.iter().map(|thread| fs::read_to_string(thread.join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// The children of a process, their children, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// What is mounted in a process's mount namespace.
pub fn mounts(pid: u32) -> Vec<String> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).expect("mounts");
    mounts.lines().map(str::to_owned).collect()
}

/// The cgroups called `name` in every hierarchy and those below them, deepest first.
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    find(Path::new("/sys/fs/cgroup"), name, false, &mut found);
    found
}

fn find(dir: &Path, name: &str, inside: bool, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let inside = inside || entry.file_name().to_string_lossy() == name;
        find(&entry.path(), name, inside, found);
        if inside {
            found.push(entry.path());
        }
    }
}

/// Removes the cgroups called `name` once their processes have exited.
pub fn remove_cgroups(name: &str) {
    // A cgroup is busy until the kernel has finished with the last of its processes.
    let removed = crate::shell::poll(|| {
        let left = cgroups(name);
        for path in &left {
            let _ = fs::remove_dir(path);
        }
        cgroups(name).is_empty().then_some(())
    });
    if removed.is_none() {
        eprintln!("cgroups called {name} cannot be removed");
    }
}
