//! Which containerd namespaces hold which code: `used/NAMESPACE/FILE` is an empty file whose
//! modification time says when the namespace has last used the code in `FILE`. Unlike hard
//! links or extended attributes, empty files work everywhere, and outlive the replacement
//! of a damaged entry.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const DIR: &str = "used";

/// Longest name of a containerd namespace.
const MAX_NAME: usize = 76;

/// Whether this is a name that containerd allows. Others are no file names.
pub fn is_namespace(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= MAX_NAME
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// A namespace's use of a file.
#[derive(Debug)]
pub struct Hold {
    pub namespace: String,
    pub file: OsString,
    pub used: SystemTime,
}

fn path(cache: &Path, namespace: &str, file: &OsStr) -> PathBuf {
    cache.join(DIR).join(namespace).join(file)
}

/// Notes that a namespace uses a file now.
pub fn note(cache: &Path, namespace: &str, file: &OsStr) -> io::Result<()> {
    let path = path(cache, namespace, file);
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let hold = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = cache.join(DIR).join(namespace);
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            open()?
        }
        hold => hold?,
    };
    hold.set_modified(SystemTime::now())
}

/// Removes a hold, if there is one.
pub fn remove(cache: &Path, namespace: &str, file: &OsStr) {
    let path = path(cache, namespace, file);
    let _ = fs::remove_file(&path);
    // If it was the last one.
    let _ = path.parent().map(fs::remove_dir);
}

/// All holds. What cannot be read counts as none.
pub fn all(cache: &Path) -> Vec<Hold> {
    let mut holds = Vec::new();
    let namespaces = fs::read_dir(cache.join(DIR)).into_iter().flatten().flatten();
    for (name, path) in namespaces.map(|namespace| (namespace.file_name(), namespace.path())) {
        let Some(namespace) = name.to_str().filter(|name| is_namespace(name)) else { continue };
        for file in fs::read_dir(path).into_iter().flatten().flatten() {
            let used = file.metadata().and_then(|status| status.modified());
            holds.push(Hold {
                namespace: namespace.to_owned(),
                file: file.file_name(),
                used: used.unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    holds
}
