//! A container's directories: its image's files and its volumes, and nothing of the kernel's.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::Directory;

/// Where the kernel shows itself. A program that can write to /proc/self/mem is in no sandbox.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// File systems by which the kernel shows itself, wherever they are.
const KERNEL_TYPES: [&str; 14] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "devtmpfs",
    "mqueue",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "pstore",
    "configfs",
    "binfmt_misc",
];

/// The directories of the container that this process runs in. `root` is the image's own files,
/// without anything that is mounted over them, if there is such a directory.
pub fn container_directories(root: Option<Directory>) -> std::io::Result<Vec<Directory>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut directories: Vec<_> = root.into_iter().collect();
    for volume in volumes(&mounts).filter(|volume| volume.host.is_dir()) {
        // What is mounted last at a place is what is seen there.
        directories.retain(|other| other.guest != volume.guest);
        directories.push(volume);
    }
    Ok(directories)
}

fn volumes(mountinfo: &str) -> impl Iterator<Item = Directory> {
    mountinfo.lines().filter_map(|line| {
        // "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc_pid_mountinfo(5))
        let (mount, of_file_system) = line.split_once(" - ")?;
        let kind = of_file_system.split(' ').next()?;
        let mut fields = mount.split(' ').skip(4);
        let (path, options) = (unescape(fields.next()?), fields.next()?);
        let super_options = of_file_system.split(' ').nth(2).unwrap_or_default();
        let kernels = KERNELS.iter().any(|kernels| path.starts_with(kernels)) || KERNEL_TYPES.contains(&kind);
        if kernels || path == Path::new("/") {
            return None;
        }
        let read_only =
            [options, super_options].iter().any(|options| options.split(',').any(|option| option == "ro"));
        Some(Directory { guest: path.to_str()?.to_owned(), host: path, read_only })
    })
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let number = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match number.filter(|_| byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_directories_and_nothing_of_the_kernel_is() {
        let mounts = "\
601 600 0:57 / / ro,nodev - overlay overlay rw,lowerdir=/a
602 601 0:60 / /proc rw,nosuid - proc proc rw
603 601 0:61 / /dev rw - tmpfs tmpfs rw
604 603 0:62 / /dev/shm rw - tmpfs shm rw
605 601 8:1 /srv/in /data rw,relatime - ext4 /dev/sda1 rw
606 601 8:1 /srv/out /with\\040space ro,relatime - ext4 /dev/sda1 rw
607 601 0:63 / /tmp rw - tmpfs tmpfs rw
608 601 0:64 / /elsewhere rw - proc proc rw
609 601 0:65 / /old rw - squashfs /dev/loop0 ro
";
        let found: Vec<_> = volumes(mounts).map(|volume| (volume.guest.clone(), volume.read_only)).collect();
        let right = [("/data", false), ("/with space", true), ("/tmp", false), ("/old", true)];
        assert_eq!(found, right.map(|(path, read_only)| (path.to_owned(), read_only)));
    }
}
