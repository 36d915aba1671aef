//! An image's files: its layers, one applied on the other (OCI image specification, layer.md).

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::archive::{Archive, check, hex, strictly_inside};
use super::compression::{self, Format};
use super::manifest::Layer;

/// What begins the name of an entry that removes a file of lower layers.
const WHITEOUT: &str = ".wh.";
/// The name of an entry that removes all of a directory in lower layers.
const OPAQUE: &str = ".wh..wh..opq";
/// Most entries of an image.
const MAX_ENTRIES: usize = 1 << 20;
/// Links on the way to a file, at most: what Linux follows.
const MAX_LINKS: usize = 40;

/// A file of an image: the file of its layer, and which of that one's entries it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub layer: String,
    pub entry: usize,
    pub executable: bool,
}

/// A file that was looked up.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path without links, and without the first slash.
    pub path: PathBuf,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(Place),
    Link(PathBuf),
    /// A device or the like.
    Other,
}

/// All files of an image, by path without the first slash.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<PathBuf, Node>);

impl Tree {
    /// Applies the layers, lowest first.
    pub(super) fn of(archive: &mut Archive, layers: &[Layer]) -> Result<Self> {
        let mut tree = Self::default();
        for layer in layers {
            let entries = entries(archive, layer).with_context(|| format!("its layer '{}'", layer.file))?;
            tree.apply(entries);
            ensure!(tree.0.len() <= MAX_ENTRIES, "the image has more than {MAX_ENTRIES} files");
        }
        Ok(tree)
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        // They concern lower layers alone, wherever in their layer they are.
        for entry in &entries {
            let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) else { continue };
            let parent = self.resolved_parent(&entry.path);
            if name == OPAQUE {
                self.remove_below(&parent);
            } else if let Some(name) = name.strip_prefix(WHITEOUT) {
                self.remove(&parent.join(name));
            }
        }
        for entry in entries {
            let Some(name) = entry.path.file_name() else { continue };
            if name.to_str().is_some_and(|name| name.starts_with(WHITEOUT)) {
                continue;
            }
            let path = self.resolved_parent(&entry.path).join(name);
            let node = match entry.content {
                Content::Node(node) => Some(node),
                Content::Same(target) => target
                    .file_name()
                    .and_then(|name| self.0.get(&self.resolved_parent(&target).join(name)))
                    .cloned(),
            };
            let Some(node) = node else { continue };
            if node == Node::Directory && self.0.get(&path) == Some(&Node::Directory) {
                continue;
            }
            self.remove(&path);
            for parent in path.ancestors().skip(1) {
                if self.0.get(parent).is_some_and(|node| *node != Node::Directory) {
                    self.remove(parent);
                }
            }
            self.0.insert(path, node);
        }
    }

    fn remove(&mut self, path: &Path) {
        self.0.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, path: &Path) {
        // Paths are ordered by their names, so that what is in a directory follows it.
        let behind = (Bound::Excluded(path.to_owned()), Bound::Unbounded);
        let below = self.0.range(behind).map(|(other, _)| other);
        for other in below.take_while(|other| other.starts_with(path)).cloned().collect::<Vec<_>>() {
            self.0.remove(&other);
        }
    }

    /// All files, directories before what is in them.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// The directory that a path is in, whose own links are followed as when it is unpacked.
    fn resolved_parent(&self, path: &Path) -> PathBuf {
        let parent = path.parent().unwrap_or(Path::new(""));
        self.resolve(parent, true).unwrap_or_else(|| parent.to_owned())
    }

    /// The file at a path of the image, whose links are followed within the image.
    pub(super) fn file(&self, path: &Path) -> Option<Found> {
        let path = self.resolve(path, false)?;
        match self.0.get(&path) {
            Some(Node::File(place)) => Some(Found { place: place.clone(), path }),
            _ => None,
        }
    }

    /// The directory at a path of the image, as a path without links and without the first slash.
    pub(super) fn directory(&self, path: &Path) -> Option<PathBuf> {
        let path = self.resolve(path, false)?;
        match self.0.get(&path) {
            Some(Node::Directory) | None => Some(path),
            Some(_) => None,
        }
    }

    /// Where a path leads. `missing` says whether what does not exist may be on the way.
    pub(super) fn resolve(&self, path: &Path, missing: bool) -> Option<PathBuf> {
        let mut links = 0;
        let mut rest: Vec<_> = names(path);
        let mut resolved = PathBuf::new();
        while let Some(name) = rest.pop() {
            if name.as_os_str() == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&name);
            match self.0.get(&next) {
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        resolved = PathBuf::new();
                    }
                    rest.extend(names(target));
                }
                Some(_) => resolved = next,
                // A directory may be there only by what is in it.
                None if missing
                    || self
                        .0
                        .range(next.clone()..)
                        .next()
                        .is_some_and(|(other, _)| other.starts_with(&next)) =>
                {
                    resolved = next;
                }
                None => return None,
            }
        }
        Some(resolved)
    }
}

/// The names of a path, last first.
fn names(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    });
    names.rev().collect()
}

/// An entry of a layer.
struct Entry {
    path: PathBuf,
    content: Content,
}

enum Content {
    Node(Node),
    /// That of another path.
    Same(PathBuf),
}

/// What a layer's file holds once it is unpacked: a tar archive.
pub(super) fn open(archive: &mut Archive, file: &str) -> Result<Box<dyn Read>> {
    let mut packed = archive.reader(file)?;
    let format = Format::of(&compression::head(&mut packed)?);
    if format == Format::Other {
        bail!("it is neither a tar archive nor one that is compressed with gzip or zstd");
    }
    Ok(compression::unpacked(packed, format))
}

/// A reader that knows the digest of what it has read.
pub(super) struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, hash: Sha256::new() }
    }

    /// The digest of the whole stream, in hexadecimal digits.
    pub(super) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(hex(&self.hash.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

fn entries(archive: &mut Archive, layer: &Layer) -> Result<Vec<Entry>> {
    check(&layer.file, &Hashing::new(archive.reader(&layer.file)?).finish()?)?;
    let mut unpacked = Hashing::new(open(archive, &layer.file)?);
    let mut found = Vec::new();
    let mut tar = tar::Archive::new(BufReader::new(&mut unpacked));
    for (number, entry) in tar.entries()?.enumerate() {
        let entry = entry?;
        let path = strictly_inside(&entry.path()?)?;
        let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
        let content = match (entry.header().entry_type(), link) {
            (EntryType::Directory, _) => Content::Node(Node::Directory),
            (EntryType::Symlink, Some(target)) => Content::Node(Node::Link(target)),
            (EntryType::Link, Some(target)) => Content::Same(strictly_inside(&target)?),
            (kind, _) if kind.is_file() || kind == EntryType::GNUSparse => {
                let executable = entry.header().mode()? & 0o111 != 0;
                Content::Node(Node::File(Place { layer: layer.file.clone(), entry: number, executable }))
            }
            _ => Content::Node(Node::Other),
        };
        found.push(Entry { path, content });
        ensure!(found.len() <= MAX_ENTRIES, "it has more than {MAX_ENTRIES} files");
    }
    // What the archive's reader has read ahead counts, and what follows the archive's end.
    drop(tar);
    if let Some(diff_id) = &layer.diff_id {
        let digest = format!("sha256:{}", unpacked.finish()?);
        ensure!(*diff_id == digest, "it unpacks to {digest}, and the image's configuration says {diff_id}");
    }
    Ok(found)
}

/// The bytes of a file, unless there are more than `most`.
pub(super) fn content(archive: &mut Archive, place: &Place, most: u64) -> Result<Vec<u8>> {
    let mut tar = tar::Archive::new(open(archive, &place.layer)?);
    let entry = tar.entries()?.nth(place.entry).context("the layer has changed")??;
    Ok(compression::whole(entry, most)?)
}

/// The first bytes of a file, which tell its kind.
pub(super) fn head(archive: &mut Archive, place: &Place) -> Result<Vec<u8>> {
    let mut tar = tar::Archive::new(open(archive, &place.layer)?);
    let entry = tar.entries()?.nth(place.entry).context("the layer has changed")??;
    Ok(compression::first_bytes(entry)?)
}
