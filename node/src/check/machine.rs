//! The kernel and the machine.

use std::path::Path;

use super::{Row, State};
use crate::engine::version::Version;
use crate::files::root::Root;

/// The first kernel on which sites run: with `mount_setattr`.
const KERNEL: Version = Version(5, 12, 0);

/// What Raspberry Pi OS needs on the kernel's command line for the memory cgroup.
const MEMORY_WORDS: [&str; 2] = ["cgroup_memory=1", "cgroup_enable=memory"];

/// Where Raspberry Pi OS keeps that line.
const COMMAND_LINE_FILES: [&str; 2] = ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"];

pub(super) fn rows(root: &Root) -> Vec<Row> {
    vec![kernel(root), pages(), address_space(root), cgroup(root), memory_cgroup(root)]
}

fn read(root: &Root, path: &str) -> Option<String> {
    root.read(Path::new(path)).ok().flatten()
}

fn kernel(root: &Root) -> Row {
    let release = read(root, "/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    match Version::parse(&release) {
        Some(version) if version < KERNEL => Row::new("kernel", State::Error, release)
            .advise(format!("update it: sites need Linux {}.{} or newer", KERNEL.0, KERNEL.1)),
        Some(_) => Row::ok("kernel", release),
        None => Row::new("kernel", State::Note, format!("unknown version '{release}'")),
    }
}

fn pages() -> Row {
    // SAFETY: this only reads a number of the system's.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let found = format!("{} KiB", size / 1024);
    match size {
        4096 => Row::ok("page size", found),
        _ => Row::new("page size", State::Note, found)
            .advise("sites are tested with pages of 4 KiB; on a Raspberry Pi 5, kernel=kernel8.img in config.txt has them"),
    }
}

/// How many bits the addresses of a process have: 47 on most machines, 39 on a Raspberry Pi,
/// 32 with a 32-bit system.
fn address_space(root: &Root) -> Row {
    let maps = read(root, "/proc/self/maps").unwrap_or_default();
    let ends = maps.lines().filter(|line| !line.contains("[v")).filter_map(|line| {
        let end = line.split_whitespace().next()?.split_once('-')?.1;
        u64::from_str_radix(end, 16).ok()
    });
    match ends.max() {
        Some(end) => Row::ok("address space", format!("{} bits", u64::BITS - (end - 1).leading_zeros())),
        None => Row::new("address space", State::Note, "unknown"),
    }
}

fn cgroup(root: &Root) -> Row {
    let version = if root.has("/sys/fs/cgroup/cgroup.controllers") {
        "version 2"
    } else if root.has("/sys/fs/cgroup/unified") {
        "version 1, with 2 beside it"
    } else if root.has("/sys/fs/cgroup") && read(root, "/proc/cgroups").is_some() {
        "version 1"
    } else {
        let none = Row::new("cgroups", State::Error, "not mounted");
        return none.advise("mount them at /sys/fs/cgroup, as systemd does");
    };
    Row::ok("cgroups", version)
}

fn memory_cgroup(root: &Root) -> Row {
    const SUBJECT: &str = "memory cgroup";
    let is_there = match read(root, "/sys/fs/cgroup/cgroup.controllers") {
        Some(controllers) => controllers.split_whitespace().any(|name| name == "memory"),
        None => root.has("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    };
    if is_there {
        return Row::ok(SUBJECT, "there");
    }
    let missing =
        Row::new(SUBJECT, State::Error, "missing: memory limits have no effect, and k3s does not start");
    let file = COMMAND_LINE_FILES.iter().find_map(|path| Some((path, read(root, path)?)));
    let Some((path, line)) = file else {
        return missing.advise("start the kernel with cgroup_enable=memory");
    };
    let lacks: Vec<_> =
        MEMORY_WORDS.into_iter().filter(|word| !line.split_whitespace().any(|has| has == *word)).collect();
    match lacks.is_empty() {
        true => missing.advise(format!("'{path}' has what it needs: reboot")),
        false => {
            missing.advise(format!("append '{}' to the one line of '{path}', and reboot", lacks.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for (path, text) in files {
            fs::create_dir_all(root.at(path).parent().unwrap()).unwrap();
            fs::write(root.at(path), text).unwrap();
        }
        (directory, root)
    }

    #[test]
    fn a_raspberry_pi_without_the_memory_cgroup_is_told_which_words_are_missing() {
        let controllers = ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
        for (line, says) in [
            ("console=tty1 rootwait\n", "append 'cgroup_memory=1 cgroup_enable=memory' to"),
            ("console=tty1 cgroup_memory=1 rootwait\n", "append 'cgroup_enable=memory' to"),
            ("cgroup_memory=1 cgroup_enable=memory\n", "reboot"),
        ] {
            let (_directory, root) = machine(&[controllers, ("/boot/firmware/cmdline.txt", line)]);
            let row = memory_cgroup(&root);
            assert_eq!(row.state, State::Error);
            assert!(row.advice.as_ref().unwrap().contains(says), "{row:?}");
            assert!(row.advice.unwrap().contains("'/boot/firmware/cmdline.txt'"));
        }
        let (_directory, root) = machine(&[controllers]);
        assert!(memory_cgroup(&root).advice.unwrap().contains("start the kernel"));
    }

    #[test]
    fn both_versions_of_cgroups_are_known() {
        let (_directory, root) = machine(&[("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")]);
        assert_eq!((cgroup(&root).found, memory_cgroup(&root).state), ("version 2".into(), State::Ok));
        let (_directory, root) =
            machine(&[("/proc/cgroups", ""), ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1")]);
        assert_eq!((cgroup(&root).found, memory_cgroup(&root).state), ("version 1".into(), State::Ok));
        let (_directory, root) = machine(&[]);
        assert_eq!((cgroup(&root).state, memory_cgroup(&root).state), (State::Error, State::Error));
    }

    #[test]
    fn an_old_kernel_is_named() {
        let (_directory, root) = machine(&[("/proc/sys/kernel/osrelease", "5.10.103-v7l+\n")]);
        assert_eq!(kernel(&root).state, State::Error);
        let (_directory, root) = machine(&[("/proc/sys/kernel/osrelease", "6.12.34+rpt-rpi-v8\n")]);
        assert_eq!(kernel(&root), Row::ok("kernel", "6.12.34+rpt-rpi-v8"));
    }

    #[test]
    fn the_address_space_of_a_raspberry_pi_has_39_bits() {
        let maps = "5555550000-5555560000 r-xp 00000000 b3:02 1 /bin/x\n7fffdef000-7fffe10000 rw-p 00000000 00:00 0 [stack]\n";
        let (_directory, root) = machine(&[("/proc/self/maps", maps)]);
        assert_eq!(address_space(&root).found, "39 bits");
        assert!(
            ["47 bits", "32 bits", "48 bits", "39 bits"].contains(&&*address_space(&Root::default()).found)
        );
    }
}
