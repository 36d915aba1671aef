//! The node's cache of compiled code: a directory that only its owner writes to,
//! with a file for each module and engine. Nothing that an image supplies gets
//! there but as input of the compiler.

pub mod entry;
pub mod exchange;
pub mod transfer;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::memfd::{MemFdCreateFlag, memfd_create};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::compile::{self, About, Key};
use crate::engine::Target;
use crate::settings::Settings;

/// The most bytes that a cache holds, unless it is told otherwise.
pub const DEFAULT_SIZE: u64 = 256 << 20;

/// What files of compiled code are called after their key.
const SUFFIX: &str = "code";

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory is somebody else's, or others may write to it.
    #[error(
        "'{}' is not trusted with compiled code: it must be a directory that belongs to user {owner} and that \
         nobody else can write to", path.display()
    )]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// Whose it should be.
        owner: u32,
    },
    /// It is not known where it is.
    #[error("{0}")]
    Unknown(String),
    /// The system refuses.
    #[error("cannot {what} '{}': {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why code was not added to a cache.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is the cache's fault.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Or the module's.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Why a module has no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module is at fault.
    #[error("{0}")]
    Module(String),
    /// This side is.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Compiled code in a file that can be mapped.
#[derive(Debug)]
pub struct Code {
    /// The file, which begins with the code.
    pub file: File,
    /// What it is.
    pub about: About,
    /// Whether it was compiled just now.
    pub compiled: bool,
    /// What the person who runs the site should know: why it was not cached, say.
    pub warnings: Vec<String>,
}

/// A file of the cache, for a list.
#[derive(Debug)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// What it is, or why it cannot be used.
    pub about: Result<About, entry::Unusable>,
}

/// A cache in a directory.
#[derive(Debug, Clone)]
pub struct CodeCache {
    dir: PathBuf,
    size: u64,
}

impl CodeCache {
    /// Opens the cache in `dir`, which is made if it is not there. It keeps at most
    /// `size` bytes.
    pub fn open(dir: &Path, size: u64) -> Result<Self, CacheError> {
        let system = |what, source| CacheError::System { what, path: dir.to_owned(), source };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let metadata = match (made, fs::symlink_metadata(dir)) {
            (_, Ok(metadata)) => metadata,
            (Err(error), _) => return Err(system("make", error)),
            (_, Err(error)) => return Err(system("look at", error)),
        };
        let owner = nix::unistd::geteuid().as_raw();
        if !metadata.is_dir() || metadata.uid() != owner || metadata.mode() & 0o022 != 0 {
            return Err(CacheError::Untrusted { path: dir.to_owned(), owner });
        }
        Ok(Self { dir: dir.to_owned(), size })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The most bytes that it keeps.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.{}.{SUFFIX}", key.module, key.engine))
    }

    /// Finds code, checks it, and notes that it was used. A file that cannot be used
    /// is one that is not there, and a warning.
    pub fn find(&self, key: &Key, warnings: &mut Vec<String>) -> Option<Code> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let about = match entry::check(&mut file) {
            Ok(about) if about.key == *key => about,
            wrong => {
                let reason =
                    wrong.err().map_or("it is another module's".to_owned(), |error| error.to_string());
                warnings.push(format!("'{}' in the code cache is not used: {reason}", path.display()));
                return None;
            }
        };
        // On a file system that is read-only nothing is removed either.
        let _ = file.set_modified(SystemTime::now());
        Some(Code { file: executable(file).ok()?, about, compiled: false, warnings: Vec::new() })
    }

    /// Adds code, and removes what was not used for longest where there is not room for all.
    pub fn insert(&self, about: &About, code: &[u8]) -> Result<File, CacheError> {
        let path = self.path(&about.key);
        let system = |what, source| CacheError::System { what, path: path.clone(), source };
        // Of whoever was killed while writing, and of nobody else: see `locked`.
        let unfinished = path.with_extension("new");
        let written = (|| {
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            entry::write(&file, about, code)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            // Not the descriptor that has written it: that of a reader.
            File::open(&path)
        })();
        let file = written.map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            system("write", error)
        })?;
        self.remove_oldest(&path);
        Ok(file)
    }

    fn remove_oldest(&self, keep: &Path) {
        let mut entries = self.list().unwrap_or_default();
        entries.sort_by_key(|entry| entry.used);
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        for entry in entries.iter().filter(|entry| entry.path != keep) {
            if size <= self.size {
                return;
            }
            if fs::remove_file(&entry.path).is_ok() {
                size -= entry.size;
            }
        }
    }

    /// Everything that is there.
    pub fn list(&self) -> Result<Vec<Listed>, CacheError> {
        let system = |source| CacheError::System { what: "read", path: self.dir.clone(), source };
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.dir).map_err(system)? {
            let path = found.map_err(system)?.path();
            let Ok(metadata) = path.metadata() else { continue };
            if path.extension().is_none_or(|extension| extension != SUFFIX) || !metadata.is_file() {
                continue;
            }
            let about = File::open(&path).map_err(Into::into).and_then(|mut file| entry::peek(&mut file));
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(Listed { path, size: metadata.len(), used, about });
        }
        Ok(entries)
    }

    /// Removes everything; how many files and bytes those were.
    pub fn clear(&self) -> Result<(usize, u64), CacheError> {
        let entries = self.list()?;
        for entry in &entries {
            fs::remove_file(&entry.path).map_err(|source| CacheError::System {
                what: "remove",
                path: entry.path.clone(),
                source,
            })?;
        }
        Ok((entries.len(), entries.iter().map(|entry| entry.size).sum()))
    }

    /// Waits until nobody else compiles for this cache. One after the other: on a
    /// small board there is not the memory for several, and whoever waited for the
    /// same module finds it.
    fn lock(&self) -> Result<File, CacheError> {
        let path = self.dir.join("lock");
        let system = |source| CacheError::System { what: "lock", path: path.clone(), source };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(system)?;
        file.lock().map_err(system)?;
        Ok(file)
    }
}

/// A module that wants code.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Its bytes.
    pub module: &'a [u8],
    /// What it is called.
    pub name: &'a str,
    /// How it is to be served.
    pub settings: &'a Settings,
}

/// Finds a module's code in the cache. `module` is its digest, `engines` are those
/// that can load the code, best first.
pub fn find(cache: &CodeCache, module: &str, engines: &[String], warnings: &mut Vec<String>) -> Option<Code> {
    engines
        .iter()
        .find_map(|engine| cache.find(&Key { module: module.to_owned(), engine: engine.clone() }, warnings))
}

/// Finds a module's code for a target in the cache.
fn find_for(
    cache: &CodeCache,
    wanted: &Wanted<'_>,
    target: Target,
    warnings: &mut Vec<String>,
) -> Result<Option<Code>, CompileError> {
    let engines = match target {
        Target::Host => compile::engines(wanted.settings),
        target => compile::compatibility(wanted.settings, target).map(|engine| vec![engine]),
    };
    let engines = engines.map_err(|error| CompileError::System(io::Error::other(format!("{error:#}"))))?;
    Ok(find(cache, &compile::digest(wanted.module), &engines, warnings))
}

/// Finds a module's code, or compiles it, for this machine; in the latter case adds it
/// to the cache. Without one, and where that cannot be written to, the code is in memory.
pub fn provide(cache: Result<CodeCache, CacheError>, wanted: &Wanted<'_>) -> Result<Code, CompileError> {
    let mut warnings = Vec::new();
    let mut without = |error: CacheError| warnings.push(format!("running without the code cache: {error}"));
    let locked = cache.and_then(|cache| cache.lock().map(|lock| (cache, lock))).map_err(&mut without).ok();
    if let Some((cache, _)) = &locked {
        // Somebody else may have compiled it meanwhile.
        if let Some(code) = find_for(cache, wanted, Target::Host, &mut Vec::new())? {
            return Ok(code);
        }
    }
    let (about, code) = compile::compile(wanted.module, wanted.name, wanted.settings, Target::Host)
        .map_err(CompileError::Module)?;
    let inserted = locked.and_then(|(cache, _lock)| cache.insert(&about, &code).map_err(&mut without).ok());
    let file = match inserted {
        Some(file) => executable(file)?,
        None => in_memory(|file| entry::write(file, &about, &code))?,
    };
    Ok(Code { file, about, compiled: true, warnings })
}

/// Finds a module's code for a target in the cache, or compiles it, after `begin`,
/// and adds it.
pub fn add(
    cache: &CodeCache,
    wanted: &Wanted<'_>,
    target: Target,
    begin: impl FnOnce(),
) -> Result<Code, AddError> {
    let _lock = cache.lock()?;
    let mut warnings = Vec::new();
    if let Some(code) = find_for(cache, wanted, target, &mut warnings)? {
        return Ok(Code { warnings, ..code });
    }
    begin();
    let (about, code) = compile::compile(wanted.module, wanted.name, wanted.settings, target)
        .map_err(CompileError::Module)?;
    Ok(Code { file: cache.insert(&about, &code)?, about, compiled: true, warnings })
}

/// The same file, or a copy in memory where nothing can be executed that is on
/// its file system.
fn executable(file: File) -> io::Result<File> {
    match fstatvfs(&file)?.flags().contains(FsFlags::ST_NOEXEC) {
        true => in_memory(|copy| {
            let mut file = &file;
            file.rewind()?;
            io::copy(&mut file, copy).map(drop)
        }),
        false => Ok(file),
    }
}

fn in_memory(write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let memory: OwnedFd = memfd_create(c"ssr-code", MemFdCreateFlag::MFD_CLOEXEC)?;
    let mut file = File::from(memory);
    write(&mut file)?;
    Ok(file)
}
