//! A file of an asset: the asset itself, or a compressed form of it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http::HeaderValue;
use parking_lot::Mutex;

use super::directory::{Directory, OpenError};
use crate::error::ServeError;

/// A file on disk.
#[derive(Debug)]
pub struct Variant {
    /// The content coding; `None` for the file itself.
    pub coding: Option<&'static str>,
    /// Its path below the directory of assets.
    path: PathBuf,
    directory: Arc<Directory>,
    tag: Mutex<Option<(Stamp, HeaderValue)>>,
    warned: AtomicBool,
}

/// What differs if the file is changed or replaced: device, inode, size, and the time of its
/// last change, which nobody can set.
type Stamp = (u64, u64, u64, (i64, i64));

impl Variant {
    /// The file at `path` below the directory.
    pub fn new(directory: &Arc<Directory>, path: PathBuf, coding: Option<&'static str>) -> Self {
        let directory = Arc::clone(directory);
        Self { coding, path, directory, tag: Mutex::new(None), warned: AtomicBool::new(false) }
    }

    /// Its path below the directory of assets.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it.
    pub fn open(&self) -> Result<(File, Metadata), OpenError> {
        self.directory.open_file(&self.path)
    }

    /// When its content was changed, by its own account.
    pub fn modified(&self) -> Option<SystemTime> {
        self.directory.modified(&self.path)
    }

    /// Its content as text.
    pub fn read(&self) -> Result<String, ServeError> {
        let error = |source| ServeError::Read { what: "the asset", path: self.full_path(), source };
        let mut bytes = Vec::new();
        let (mut file, _) = self.open().map_err(|reason| error(io::Error::other(reason)))?;
        file.read_to_end(&mut bytes).map_err(error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Its whole path.
    pub fn full_path(&self) -> PathBuf {
        self.directory.path.join(&self.path)
    }

    /// Logs why it is not sent: once, for it may be asked for very often.
    pub fn warn_once(&self, error: &OpenError) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!("assets: {} is answered 404: {error}", self.full_path().display());
        }
    }

    /// A strong entity tag: a hash of the content, computed once for each content. (Times and
    /// sizes alone do not tell releases apart: all files of an image layer may bear the same
    /// time.) That of a file which has just been changed is computed each time. The arguments are what [`open`](Self::open) returned.
    pub fn tag(&self, mut file: &File, metadata: &Metadata) -> io::Result<HeaderValue> {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let stamp = (metadata.dev(), metadata.ino(), metadata.size(), changed);
        if let Some((of, tag)) = &*self.tag.lock()
            && *of == stamp
        {
            return Ok(tag.clone());
        }
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let tag =
            HeaderValue::try_from(format!("\"{:032x}\"", hash.digest128())).map_err(io::Error::other)?;
        // The file could change once more without a later time: the kernel's clock ticks.
        if is_settled(changed.0) {
            *self.tag.lock() = Some((stamp, tag.clone()));
        }
        Ok(tag)
    }
}

/// Whether a file that was changed in this second since 1970 would get another time if it were
/// changed now.
fn is_settled(second: i64) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX) > second.saturating_add(1)
}
