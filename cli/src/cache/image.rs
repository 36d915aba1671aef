//! The sites' modules in an image's archive, whoever wrote it: in an OCI layout or
//! as `docker save` did it before, a layer is a file in the archive that is a tar,
//! plain or compressed with gzip, or a module itself. What a file is tell its
//! first bytes, and neither its name nor a manifest.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use ssr_server::{compile, module};

use super::list::plain;
use super::place::file_name;

/// The most bytes of an image's modules.
const MOST_MODULES: u64 = 256 << 20;

/// The most bytes that come out of anything that is compressed.
const MOST_UNPACKED: u64 = 8 << 30;

/// The most bytes of an image's configuration.
const MOST_CONFIG: u64 = 1 << 20;

/// Bytes by which every kind of file is told.
const HEAD: u64 = 512;

/// The setting on which compiled code may depend.
const RENDER_MEMORY: &str = "SSR_RENDER_MEMORY=";

/// A site's module.
#[derive(Debug)]
pub struct Module {
    /// Its file's name, without directories.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Image {
    /// The modules, each once. There is one.
    pub modules: Vec<Module>,
    /// What the images set SSR_RENDER_MEMORY to.
    pub render_memory: BTreeSet<String>,
}

/// Reads an archive, or a module alone.
pub fn read(path: &Path) -> Result<Image> {
    let shown = path.display();
    let cannot = || format!("cannot read '{shown}'");
    let file = File::open(path).with_context(cannot)?;
    ensure!(!file.metadata().with_context(cannot)?.is_dir(), "'{shown}' is a directory, no image archive");
    let name = file_name(path);
    let mut search = Search { archive: name.clone(), ..Search::default() };
    search.item(&name, &mut BufReader::new(file), Level::File, false).with_context(cannot)?;
    if !search.image.modules.is_empty() {
        return Ok(search.image);
    }
    match (search.refused, search.unread) {
        (Some((_, reason)), _) if search.alone => bail!("'{shown}': {reason}"),
        (Some((name, reason)), _) => bail!("'{shown}' holds no site: '{}': {reason}", plain(&name)),
        (None, Some(kind)) => bail!(
            "'{shown}' holds no site that can be read: it is compressed with {kind}; give the module itself, or an \
             archive as `ssr image` and `docker save` write it"
        ),
        (None, None) => bail!(
            "'{shown}' holds no site: no file in it is a WebAssembly module; give an image's archive, as \
             `ssr image` and `docker save` write it, or a module that `ssr build` made"
        ),
    }
}

/// How deep something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is the file itself.
    File,
    /// In the archive.
    Archive,
    /// In a layer.
    Layer,
}

#[derive(Debug, Default)]
struct Search {
    archive: String,
    image: Image,
    digests: BTreeSet<String>,
    size: u64,
    /// Whether the file is a module, or was to be one.
    alone: bool,
    /// A module that is no site, and why.
    refused: Option<(String, String)>,
    /// How something is compressed that is not read.
    unread: Option<&'static str>,
}

impl Search {
    fn item(&mut self, name: &str, from: &mut dyn Read, level: Level, unpacked: bool) -> Result<()> {
        let (kind, mut from) = look(from)?;
        match (kind, level) {
            (Kind::Module, _) => self.module(name, &mut from, level),
            (Kind::Gzip, Level::File | Level::Archive) if !unpacked => {
                self.item(name, &mut MultiGzDecoder::new(from).take(MOST_UNPACKED), level, true)
            }
            (Kind::Tar, Level::File) => self.tar(&mut from, Level::Archive),
            (Kind::Tar, Level::Archive) => self.tar(&mut from, Level::Layer),
            (Kind::Json, Level::Archive) => self.config(&mut from),
            (Kind::Zstd, Level::File | Level::Archive) => {
                self.unread = Some("zstd");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tar(&mut self, from: &mut dyn Read, level: Level) -> Result<()> {
        for entry in tar::Archive::new(from).entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() {
                let name = file_name(&entry.path()?);
                self.item(&name, &mut entry, level, false).with_context(|| plain(&name))?;
            }
        }
        Ok(())
    }

    fn module(&mut self, name: &str, from: &mut dyn Read, level: Level) -> Result<()> {
        self.alone |= level == Level::File;
        let mut bytes = Vec::new();
        from.take(MOST_MODULES - self.size + 1).read_to_end(&mut bytes)?;
        self.size += bytes.len() as u64;
        ensure!(self.size <= MOST_MODULES, "its modules have more than {} MiB", MOST_MODULES >> 20);
        // As a layer, it is called after its digest.
        let name = if level == Level::Archive { self.archive.clone() } else { name.to_owned() };
        match module::check(&bytes) {
            Err(reason) => self.refused = Some((name, reason)),
            Ok(_) => {
                if self.digests.insert(compile::digest(&bytes)) {
                    self.image.modules.push(Module { name, bytes });
                }
            }
        }
        Ok(())
    }

    /// Whatever else is JSON has no such environment.
    fn config(&mut self, from: &mut dyn Read) -> Result<()> {
        let mut text = Vec::new();
        from.take(MOST_CONFIG).read_to_end(&mut text)?;
        let config: ImageConfig = serde_json::from_slice(&text).unwrap_or_default();
        let env = config.config.env.unwrap_or_default();
        // As in a container, the last one counts, and an empty one does not.
        let memory = env.iter().rev().find_map(|variable| variable.strip_prefix(RENDER_MEMORY));
        self.image.render_memory.extend(memory.filter(|value| !value.is_empty()).map(str::to_owned));
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfig {
    config: ContainerConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerConfig {
    #[serde(rename = "Env")]
    env: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Module,
    Gzip,
    Zstd,
    Tar,
    Json,
    Other,
}

/// What something is; and all of it, to be read.
fn look(mut from: impl Read) -> io::Result<(Kind, impl Read)> {
    let mut head = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut head)?;
    let kind = match &head[..] {
        [0, b'a', b's', b'm', ..] => Kind::Module,
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Zstd,
        [b'{', ..] => Kind::Json,
        head if head.get(257..262) == Some(b"ustar") => Kind::Tar,
        _ => Kind::Other,
    };
    Ok((kind, Cursor::new(head).chain(from)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::snapshot::with_custom_section;

    fn site(padding: &[u8]) -> Vec<u8> {
        let module = with_custom_section(b"\0asm\x01\0\0\0".to_vec(), "padding", padding);
        with_custom_section(module, module::SECTION, br#"{"abi":1,"built_by":"0.1.0"}"#)
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn search(bytes: &[u8]) -> Result<Image> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.tar");
        fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        search(bytes).unwrap().modules.into_iter().map(|module| module.name).collect()
    }

    #[test]
    fn modules_are_found_in_layers_plain_or_compressed_and_as_layers() {
        let layer = tar(&[("dist/x.js", b"let x"), ("app/ssr.wasm", &site(b"1"))]);
        let config = br#"{"os":"wasip1","config":{"Env":["PATH=/","SSR_RENDER_MEMORY=64MiB"]}}"#;
        for layer in [layer.clone(), gzip(&layer)] {
            let archive = tar(&[("blobs/sha256/12", &layer), ("blobs/sha256/34", config)]);
            assert_eq!(names(&archive), ["ssr.wasm"]);
            assert_eq!(names(&gzip(&archive)), ["ssr.wasm"]);
            let image = search(&archive).unwrap();
            assert_eq!(image.modules[0].bytes, site(b"1"));
            assert_eq!(image.render_memory.into_iter().collect::<Vec<_>>(), ["64MiB"]);
        }
        assert_eq!(names(&tar(&[("blobs/sha256/12", &site(b"")), ("index.json", b"{}")])), ["site.tar"]);
        assert_eq!(names(&site(b"")), ["site.tar"]);
    }

    #[test]
    fn equal_modules_are_one_and_other_modules_do_not_matter() {
        let first = tar(&[("a.wasm", &site(b"1")), ("other.wasm", b"\0asm\x01\0\0\0"), ("a.js", b"\0as")]);
        let second =
            tar(&[("b.wasm", &site(b"1")), ("c.wasm", &site(&[2; 5000])), ("d.wasm.gz", &gzip(&site(b"3")))]);
        assert_eq!(names(&tar(&[("1/layer.tar", &first), ("2/layer.tar", &second)])), ["a.wasm", "c.wasm"]);
    }

    #[test]
    fn an_archive_without_a_site_is_named_with_the_reason() {
        let other = tar(&[("ssr.wasm", b"\0asm\x01\0\0\0")]);
        let zstd = tar(&[("blobs/sha256/12", b"\x28\xb5\x2f\xfd....")]);
        let cut = tar(&[("blobs/sha256/12", &gzip(&other)[..40])]);
        for (bytes, says) in [
            (&b""[..], "holds no site: no file in it is a WebAssembly module"),
            (b"text", "holds no site: no file in it"),
            (&tar(&[("layer", &tar(&[("index.html", b"<html>")]))]), "holds no site: no file"),
            (&tar(&[("layer", &other)]), "holds no site: 'ssr.wasm': it is a WebAssembly module but no site"),
            (b"\0asm\x01\0\0\0", "site.tar': it is a WebAssembly module but no site"),
            (&zstd, "compressed with zstd"),
            (&cut, "cannot read"),
            (&tar(&[("layer", &site(b""))])[..530], "cannot read"),
        ] {
            let error = format!("{:#}", search(bytes).unwrap_err());
            assert!(error.contains("site.tar") && error.contains(says), "{error}");
        }
        assert!(format!("{:#}", read(Path::new("/no/such.tar")).unwrap_err()).contains("'/no/such.tar'"));
    }

    #[test]
    fn what_compresses_itself_has_an_end() {
        let nested = (0..20).fold(site(b""), |bytes, _| gzip(&bytes));
        assert!(search(&nested).is_err());
    }
}
