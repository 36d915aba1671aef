//! The image's files as a module sees them that runs once.
//!
//! Such a module gets directories, and files below them by any path. The container's own root
//! would not do: below it are /proc and /sys, and who can write to /proc/self/mem is in no
//! sandbox. So it gets the root without anything that is mounted on it, by a mount of its own
//! that is nowhere attached, and volumes beside it.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::Spec;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use ssr_code_cache::read_only::{detached_mount, set_mount_attributes};

use super::root::ROOT;
use crate::helper::inherited_fds;

/// Leaves the image's files, from the root that is mounted in the bundle, to the container's
/// process. Before Linux 5.2 (for a read-only root, 5.12) there is no such mount: the module
/// then has its volumes alone, and says so.
pub fn leave_to_process(bundle: &Path, spec: &Spec) -> Result<()> {
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    let root = bundle.join(ROOT);
    let directory = open(&root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open '{}'", root.display()))?;
    // SAFETY: the kernel has just opened it for this process.
    let directory = unsafe { OwnedFd::from_raw_fd(directory) };
    match clone(directory.as_fd(), read_only) {
        Ok(files) => inherited_fds::place_image(files),
        Err(_) => Ok(()),
    }
}

/// A detached mount of the directory alone, without what is mounted below it.
fn clone(directory: impl AsFd, read_only: bool) -> io::Result<OwnedFd> {
    let files = detached_mount(directory)?;
    if read_only {
        set_mount_attributes(&files, libc::MOUNT_ATTR_RDONLY, 0)?;
    }
    Ok(files)
}
