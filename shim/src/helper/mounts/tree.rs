//! Trees of mounts that are mounted nowhere yet (`open_tree`, Linux 5.2; `mount_setattr`, 5.12).

use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use libcontainer::syscall::linux::MountAttr;
use libcontainer::syscall::syscall::{Syscall, SyscallType};

/// `MS_PRIVATE`, as `mount_setattr` takes it: libc has it as wide as this machine's addresses.
const PRIVATE: u64 = 1 << 18;

/// Which mounts of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The one at its top.
    Top,
    /// Those below that, too.
    All,
}

impl Depth {
    /// As the option of a bind mount (`bind`, `rbind`) has it.
    pub fn of_bind(options: &[String]) -> Self {
        if options.iter().any(|option| option == "rbind") { Self::All } else { Self::Top }
    }

    fn flag(self) -> libc::c_uint {
        match self {
            Self::Top => 0,
            Self::All => libc::AT_RECURSIVE.cast_unsigned(),
        }
    }
}

/// A detached copy of what is mounted at a path.
pub fn detached(path: &Path, depth: Depth) -> Result<OwnedFd> {
    let name = path.to_str().with_context(|| format!("'{}' is not UTF-8", path.display()))?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | depth.flag();
    let tree = syscall().open_tree(libc::AT_FDCWD, Some(name), flags);
    tree.with_context(|| format!("cannot mount '{}'", path.display()))
}

/// Gives the files of a detached tree the owners of a user namespace (idmapped mounts).
pub fn map(tree: &OwnedFd, depth: Depth, namespace: &OwnedFd) -> Result<()> {
    let attributes = MountAttr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        userns_fd: u64::try_from(namespace.as_raw_fd())?,
        ..NOTHING
    };
    set(tree, depth, &attributes).context(
        "the owners of its files cannot be mapped: its file system and this kernel must support idmapped mounts \
         (Linux 5.12, 5.19 for image layers)",
    )
}

/// Lets a detached tree neither receive the node's later mounts nor pass any on.
pub fn make_private(tree: &OwnedFd) -> Result<()> {
    let attributes = MountAttr { propagation: PRIVATE, ..NOTHING };
    set(tree, Depth::All, &attributes).context("cannot make it private")
}

const NOTHING: MountAttr = MountAttr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

fn set(tree: &OwnedFd, depth: Depth, attributes: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH.cast_unsigned() | depth.flag();
    Ok(syscall().mount_setattr(tree.as_fd(), Path::new(""), flags, attributes, size_of::<MountAttr>())?)
}

fn syscall() -> Box<dyn Syscall> {
    SyscallType::Linux.create_syscall()
}

/// Mounts a detached tree at a directory or file.
pub fn attach(tree: &OwnedFd, target: &Path) -> Result<()> {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(target);
    let place = place.with_context(|| format!("cannot open '{}'", target.display()))?;
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let moved = syscall().move_mount(tree.as_fd(), None, place.as_fd(), None, flags);
    moved.with_context(|| format!("cannot mount at '{}'", target.display()))
}
