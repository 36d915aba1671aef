//! The memory that this process may use: the limit of its control group, or of one above
//! it. Defaults that depend on the size of the container come from it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The limit in bytes, as it was when this was first called; `None` if there is none, or
/// if it cannot be seen from here.
pub fn limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        limit_below(Path::new("/sys/fs/cgroup"), &groups)
    })
}

/// The limit where control groups are mounted at `root`; `groups` is the content of
/// /proc/self/cgroup.
fn limit_below(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        // Hierarchy, controllers (none in version 2), path.
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            lowest(root, path, "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            lowest(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// The lowest limit from the group at `path` up to the root. In a container the path may
/// be the host's, of which only the root is mounted: there it is the container's group.
fn lowest(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    let limit = |group: &Path| fs::read_to_string(mount.join(group).join(file)).ok()?.trim().parse().ok();
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)], groups: &str) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        limit_below(root.path(), groups)
    }

    #[test]
    fn the_lowest_limit_of_the_group_and_those_above_counts() {
        let files = [("pod/memory.max", "1000\n"), ("pod/site/memory.max", "max\n")];
        assert_eq!(with(&files, "0::/pod/site\n"), Some(1000));
        assert_eq!(with(&[("pod/site/memory.max", "max\n")], "0::/pod/site\n"), None);
        let files = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/docker/1/memory.limit_in_bytes", "2000\n"),
        ];
        assert_eq!(with(&files, "4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n0::/\n"), Some(2000));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        assert_eq!(with(&[("memory.max", "3000\n")], "0::/\n"), Some(3000));
        // Of another namespace.
        assert_eq!(with(&[("memory.max", "3000\n")], "0::/../../pod/site\n"), Some(3000));
        let files = [("memory/memory.limit_in_bytes", "3000\n")];
        assert_eq!(with(&files, "3:memory:/docker/1\n"), Some(3000));
        assert_eq!(with(&[], "3:memory:/docker/1\n"), None);
    }
}
