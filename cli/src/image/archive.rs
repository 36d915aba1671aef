//! The archive: an OCI layout in a tar that Docker's loaders can read too.

use std::io::{self, Read, Write};

use anyhow::Context;
use tar::{EntryType, Header};

use super::layer::Layer;
use super::manifest::{self, Blob, ImageOptions};
use super::name::ImageName;

/// An image ready to be written.
pub struct Archive {
    /// Small documents at the root of the archive.
    documents: Vec<(&'static str, Vec<u8>)>,
    config: Blob,
    manifest: Blob,
    layer: Layer,
    mtime: u64,
}

impl Archive {
    /// Makes the documents that describe the layer under the given name.
    pub fn new(name: &ImageName, options: &ImageOptions, layer: Layer) -> anyhow::Result<Self> {
        let config = manifest::config(options, &layer)?;
        let manifest = manifest::manifest(&config, &layer)?;
        let documents = vec![
            ("index.json", manifest::index(name, &manifest)?),
            ("manifest.json", manifest::docker(name, &config, &layer)?),
            ("oci-layout", manifest::layout()?),
        ];
        Ok(Self { documents, config, manifest, layer, mtime: options.created })
    }

    /// The image's digest, which is its manifest's.
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.manifest.digest)
    }

    /// Number of files in the image.
    pub fn files(&self) -> usize {
        self.layer.files
    }

    /// The compressed layer's size in bytes.
    pub fn layer_size(&self) -> u64 {
        self.layer.size
    }

    /// Writes the archive, blobs first and sorted by digest.
    pub fn write(self, output: impl Write) -> anyhow::Result<()> {
        let mut tar = Tar { tar: tar::Builder::new(io::BufWriter::new(output)), mtime: self.mtime };
        tar.directory("blobs/")?;
        tar.directory("blobs/sha256/")?;
        let layer: (&str, u64, Box<dyn Read>) =
            (&self.layer.digest, self.layer.size, Box::new(io::BufReader::new(self.layer.file)));
        let mut blobs = vec![layer];
        for blob in [&self.config, &self.manifest] {
            let bytes = blob.bytes.as_slice();
            blobs.push((&blob.digest, bytes.len() as u64, Box::new(bytes)));
        }
        blobs.sort_by(|a, b| a.0.cmp(b.0));
        for (digest, size, content) in blobs {
            tar.file(&format!("blobs/sha256/{digest}"), size, content)?;
        }
        for (path, bytes) in &self.documents {
            tar.file(path, bytes.len() as u64, bytes.as_slice())?;
        }
        let mut output = tar.tar.into_inner().context("the end of the archive")?;
        output.flush().context("the end of the archive")
    }
}

struct Tar<W: Write> {
    tar: tar::Builder<W>,
    mtime: u64,
}

impl<W: Write> Tar<W> {
    fn directory(&mut self, path: &str) -> anyhow::Result<()> {
        self.append(path, EntryType::Directory, 0o755, 0, io::empty())
    }

    fn file(&mut self, path: &str, size: u64, content: impl Read) -> anyhow::Result<()> {
        self.append(path, EntryType::Regular, 0o644, size, content)
    }

    fn append(
        &mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        size: u64,
        content: impl Read,
    ) -> anyhow::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        self.tar.append_data(&mut header, path, content).with_context(|| format!("{path} in the archive"))
    }
}
