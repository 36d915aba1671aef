//! The image's only layer: the module and the assets as a compressed tar whose
//! bytes depend only on the files' names, contents and links.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// The module's path in the image.
pub const MODULE: &str = "ssr.wasm";
/// The assets' path in the image.
pub const ASSETS: &str = "dist";

/// A complete layer in an unnamed temporary file.
pub struct Layer {
    /// The compressed tar, positioned at its start.
    pub file: File,
    /// Bytes in `file`.
    pub size: u64,
    /// SHA-256 of the compressed tar, in hexadecimal.
    pub digest: String,
    /// SHA-256 of the uncompressed tar, in hexadecimal.
    pub diff_id: String,
    /// Number of packed files.
    pub files: usize,
}

/// Packs the module and the assets, each with the modification time `mtime`.
pub fn build(module: &Path, assets: &Path, mtime: u64) -> anyhow::Result<Layer> {
    let module_file = open_module(module)?;
    let entries = list(assets)?;

    let temporary = tempfile::tempfile().context("cannot create a temporary file")?;
    let compressed = Hashing::new(BufWriter::new(temporary));
    // No time, file name or operating system, so that the header is always the same.
    let gzip = GzBuilder::new().operating_system(255).write(compressed, Compression::best());
    let mut pack = Pack { tar: tar::Builder::new(Hashing::new(gzip)), mtime, files: 0 };

    // Sorted by name like the entries: `dist` comes before `ssr.wasm`.
    pack.directory(Path::new(ASSETS))?;
    for entry in &entries {
        pack.entry(assets, entry)?;
    }
    pack.file(Path::new(MODULE), module, module_file)?;
    pack.finish().context("cannot write a temporary file")
}

/// Opens the module and checks its first bytes, so that no image is made with
/// a JavaScript file, for example, in its place.
fn open_module(path: &Path) -> anyhow::Result<File> {
    let what = |problem: &str| {
        format!("--wasm {}: {problem}; build one with `ssr build ENTRY.js -o ssr.wasm`", path.display())
    };
    let mut file = File::open(path).with_context(|| what("cannot be read"))?;
    ensure!(file.metadata().with_context(|| what("cannot be read"))?.is_file(), what("not a file"));
    let mut magic = [0; 4];
    let is_wasm = file.read_exact(&mut magic).is_ok() && &magic == b"\0asm";
    ensure!(is_wasm, what("not a WebAssembly module"));
    io::Seek::rewind(&mut file).with_context(|| what("cannot be read"))?;
    Ok(file)
}

enum Kind {
    Directory,
    File,
    /// A link with its target as written.
    Link(PathBuf),
}

struct Entry {
    /// Relative to the assets.
    path: PathBuf,
    kind: Kind,
}

/// Everything below `root`, sorted by path so that a directory precedes its
/// contents.
fn list(root: &Path) -> anyhow::Result<Vec<Entry>> {
    let cannot = || format!("--static {}: cannot be read", root.display());
    let metadata = fs::metadata(root).with_context(cannot)?;
    ensure!(
        metadata.is_dir(),
        "--static {}: not a directory; name the directory of the site's assets, such as dist/client",
        root.display()
    );
    let real = root.canonicalize().with_context(cannot)?;
    let mut entries = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        let full = root.join(&directory);
        let cannot = || format!("cannot read {}", full.display());
        for item in fs::read_dir(&full).with_context(cannot)? {
            let item = item.with_context(cannot)?;
            let path = directory.join(item.file_name());
            let kind = kind(&real, &item)?;
            if matches!(kind, Kind::Directory) {
                pending.push(path.clone());
            }
            entries.push(Entry { path, kind });
        }
    }
    entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(entries)
}

fn kind(root: &Path, item: &fs::DirEntry) -> anyhow::Result<Kind> {
    let path = item.path();
    let file_type = item.file_type().with_context(|| format!("cannot read {}", path.display()))?;
    if file_type.is_dir() {
        Ok(Kind::Directory)
    } else if file_type.is_file() {
        Ok(Kind::File)
    } else if file_type.is_symlink() {
        link(root, &path).map(Kind::Link)
    } else {
        bail!("{}: an image can only hold files, directories and links; remove this one", path.display())
    }
}

/// A link is kept if it is relative and points into the assets, because the
/// image holds nothing else.
fn link(root: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    let target = fs::read_link(path).with_context(|| format!("cannot read {}", path.display()))?;
    let shown = || format!("the link {} to {}", path.display(), target.display());
    let advice = "replace it with a copy of the file";
    ensure!(
        !target.components().any(|c| c == Component::RootDir),
        "{} is absolute and would not work in the image; {advice}",
        shown()
    );
    let real = path.canonicalize().with_context(|| format!("{} is dangling; {advice}", shown()))?;
    ensure!(real.starts_with(root), "{} points out of the assets; {advice}", shown());
    Ok(target)
}

struct Pack<W: Write> {
    tar: tar::Builder<W>,
    mtime: u64,
    files: usize,
}

impl<W: Write> Pack<W> {
    fn entry(&mut self, assets: &Path, entry: &Entry) -> anyhow::Result<()> {
        let source = assets.join(&entry.path);
        let path = Path::new(ASSETS).join(&entry.path);
        match &entry.kind {
            Kind::Directory => self.directory(&path),
            Kind::Link(target) => self.link(&path, target),
            Kind::File => {
                let file =
                    File::open(&source).with_context(|| format!("cannot read {}", source.display()))?;
                self.file(&path, &source, file)
            }
        }
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    fn directory(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        // Tar names a directory with a slash at the end.
        self.tar
            .append_data(&mut header, path.join(""), io::empty())
            .with_context(|| format!("cannot pack {}", path.display()))
    }

    fn link(&mut self, path: &Path, target: &Path) -> anyhow::Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        self.tar
            .append_link(&mut header, path, target)
            .with_context(|| format!("cannot pack {}", path.display()))
    }

    fn file(&mut self, path: &Path, source: &Path, file: File) -> anyhow::Result<()> {
        let cannot = || format!("cannot pack {}", source.display());
        let size = file.metadata().with_context(cannot)?.len();
        let mut header = self.header(EntryType::Regular, 0o644, size);
        // A file that grows while it is read must not spill into the next entry.
        let mut content = BufReader::new(file).take(size);
        self.tar.append_data(&mut header, path, &mut content).with_context(cannot)?;
        ensure!(content.limit() == 0, "{} shrank while it was packed", source.display());
        self.files += 1;
        Ok(())
    }
}

impl Pack<Hashing<GzEncoder<Hashing<BufWriter<File>>>>> {
    fn finish(self) -> io::Result<Layer> {
        let (gzip, diff_id, _) = self.tar.into_inner()?.finish();
        let (buffer, digest, size) = gzip.finish()?.finish();
        let mut file = buffer.into_inner().map_err(|error| error.into_error())?;
        io::Seek::rewind(&mut file)?;
        Ok(Layer { file, size, digest, diff_id, files: self.files })
    }
}

/// Counts and hashes the bytes written through it.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    fn finish(self) -> (W, String, u64) {
        (self.inner, hex(&self.hash.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
