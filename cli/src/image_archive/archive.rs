//! The files of an image archive, by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::compression::{self, Format};

/// An archive that can be read in any order.
pub(super) struct Archive {
    file: File,
    /// Offset and length of each file in it.
    files: HashMap<PathBuf, (u64, u64)>,
}

impl Archive {
    /// Reads the list of an archive's files. A compressed one is unpacked into a temporary file.
    pub(super) fn open(mut file: File) -> Result<Self> {
        let format = Format::of(&compression::head(&mut file)?);
        if format != Format::Tar {
            let mut unpacked = tempfile::tempfile().context("cannot make a temporary file")?;
            io::copy(&mut compression::unpacked(file, format), &mut unpacked)?;
            unpacked.seek(SeekFrom::Start(0))?;
            file = unpacked;
            ensure!(
                Format::of(&compression::head(&mut file)?) == Format::Tar,
                "what is compressed in it is no tar archive"
            );
        }
        let mut files = HashMap::new();
        let mut links = Vec::new();
        let mut tar = tar::Archive::new(BufReader::new(file.try_clone()?));
        for entry in tar.entries_with_seek()? {
            let entry = entry?;
            let path = inside(&entry.path()?);
            match entry.link_name()? {
                // Older archives of Docker link equal layers to each other.
                Some(target) => {
                    let base = path.parent().unwrap_or(Path::new("")).join(&target);
                    links.push((path, [inside(&base), inside(&target)]));
                }
                None if entry.header().entry_type().is_file() => {
                    files.insert(path, (entry.raw_file_position(), entry.size()));
                }
                None => {}
            }
        }
        for (path, targets) in links {
            if let Some(&place) = targets.iter().find_map(|target| files.get(target)) {
                files.insert(path, place);
            }
        }
        Ok(Self { file, files })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(&inside(Path::new(name)))
    }

    /// A file of the archive, as it is.
    pub(super) fn reader(&mut self, name: &str) -> Result<impl Read + Seek + use<>> {
        let Some(&(start, length)) = self.files.get(&inside(Path::new(name))) else {
            bail!("the archive is incomplete: it has no file '{name}'");
        };
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Part { file, start, length, at: 0 })
    }

    /// A small file of the archive, all of it.
    pub(super) fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        compression::whole(self.reader(name)?, most).with_context(|| format!("its file '{name}'"))
    }

    /// A file that is named by its digest, all of it, which must be what the digest says.
    pub(super) fn blob(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let bytes = self.read(name, most)?;
        check(name, &hex(&Sha256::digest(&bytes)))?;
        Ok(bytes)
    }
}

/// Fails if a file is named by a digest that it does not have.
pub(super) fn check(name: &str, digest: &str) -> Result<()> {
    let named = name.strip_prefix("blobs/sha256/").unwrap_or(digest);
    ensure!(named == digest, "the archive is damaged: its file '{name}' has the digest sha256:{digest}");
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path below the archive's root, without what leads nowhere or out of it.
pub(super) fn inside(path: &Path) -> PathBuf {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => drop(inside.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    inside
}

/// A path below the archive's root.
///
/// # Errors
/// If it leads out of it.
pub(super) fn strictly_inside(path: &Path) -> Result<PathBuf> {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => {
                depth = depth.checked_sub(1).with_context(|| {
                    format!("its entry '{}' leads out of the image: do not use this image", path.display())
                })?;
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(inside(path))
}

/// A part of a file. Each has a position of its own, though their files share one.
struct Part {
    file: File,
    start: u64,
    length: u64,
    at: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read =
            std::os::unix::fs::FileExt::read_at(&self.file, &mut buffer[..most], self.start + self.at)?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = at.filter(|at| *at <= self.length).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
