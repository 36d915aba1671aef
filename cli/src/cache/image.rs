//! Finds the sites' modules in an image archive of any tool. In an OCI layout, and
//! in the older format of `docker save`, a layer is a file in the archive: a tar,
//! plain or compressed with gzip, or a module. A file's first bytes tell its kind;
//! names and manifests are ignored.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use ssr_code_cache::module::{MAX_MODULE_SIZE, digest};
use ssr_wasm::detect;

use super::list::plain;
use super::place::file_name;

/// The most bytes of all modules of an image.
const MAX_MODULES: u64 = MAX_MODULE_SIZE;

/// The most bytes that are decompressed from one file.
const MAX_UNPACKED: u64 = 8 << 30;

/// The most bytes read of an image's configuration.
const MAX_CONFIG: u64 = 1 << 20;

/// How many first bytes are enough to tell a file's kind.
const HEAD: u64 = 512;

/// The setting on which compiled code may depend.
const RENDER_MEMORY_LIMIT: &str = "SSR_RENDER_MEMORY_LIMIT=";

/// A site's module.
#[derive(Debug)]
pub struct Module {
    /// The file's name, without directories.
    pub name: String,
    /// The module's bytes.
    pub bytes: Vec<u8>,
}

/// What was found in an archive.
#[derive(Debug, Default)]
pub struct Image {
    /// The modules, each once; at least one once `read` has returned.
    pub modules: Vec<Module>,
    /// The values that the images give SSR_RENDER_MEMORY_LIMIT.
    pub render_memory_limits: BTreeSet<String>,
}

/// Reads an archive, or a single module.
pub fn read(path: &Path) -> Result<Image> {
    let shown = path.display();
    let cannot = || format!("cannot read '{shown}'");
    let file = File::open(path).with_context(cannot)?;
    ensure!(
        !file.metadata().with_context(cannot)?.is_dir(),
        "'{shown}' is a directory, not an image archive"
    );
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
            "'{shown}' holds no site that can be read: it is compressed with {kind}; name the module itself, or an \
             archive written by `ssr image` or `docker save`"
        ),
        (None, None) => bail!(
            "'{shown}' holds no site: no file in it is a WebAssembly module; name an archive written by \
             `ssr image` or `docker save`, or a module built by `ssr build`"
        ),
    }
}

/// Where a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is the file that was named.
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
    /// Whether the named file is itself a module.
    alone: bool,
    /// The name of a module that is not a site, and the reason.
    refused: Option<(String, String)>,
    /// An unsupported compression that was found.
    unread: Option<&'static str>,
}

impl Search {
    fn item(&mut self, name: &str, from: &mut dyn Read, level: Level, unpacked: bool) -> Result<()> {
        let (kind, mut from) = look(from)?;
        match (kind, level) {
            (Kind::Module, _) => self.module(name, &mut from, level),
            (Kind::Gzip, Level::File | Level::Archive) if !unpacked => {
                self.item(name, &mut MultiGzDecoder::new(from).take(MAX_UNPACKED), level, true)
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
        from.take(MAX_MODULES - self.size + 1).read_to_end(&mut bytes)?;
        self.size += bytes.len() as u64;
        ensure!(self.size <= MAX_MODULES, "its modules are larger than {} MiB", MAX_MODULES >> 20);
        // The file name of a layer is only its digest.
        let name = if level == Level::Archive { self.archive.clone() } else { name.to_owned() };
        match detect::check(&bytes) {
            Err(reason) => self.refused = Some((name, reason)),
            Ok(_) => {
                if self.digests.insert(digest(&bytes)) {
                    self.image.modules.push(Module { name, bytes });
                }
            }
        }
        Ok(())
    }

    /// Other JSON documents in an archive have no `config.Env`.
    fn config(&mut self, from: &mut dyn Read) -> Result<()> {
        let mut text = Vec::new();
        from.take(MAX_CONFIG).read_to_end(&mut text)?;
        let config: ImageConfig = serde_json::from_slice(&text).unwrap_or_default();
        let env = config.config.env.unwrap_or_default();
        // As in a container, the last value counts and an empty one is ignored.
        let memory = env.iter().rev().find_map(|variable| variable.strip_prefix(RENDER_MEMORY_LIMIT));
        self.image.render_memory_limits.extend(memory.filter(|value| !value.is_empty()).map(str::to_owned));
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

/// The kind of a file, and a reader of the whole file.
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

    use wasm_encoder::{CustomSection, Module as Encoder};

    use super::*;

    fn site(padding: &[u8]) -> Vec<u8> {
        let json = br#"{"abi":1,"built_by":"0.1.0"}"#;
        Encoder::new()
            .section(&CustomSection { name: "padding".into(), data: padding.into() })
            .section(&CustomSection { name: detect::SITE_SECTION.into(), data: json.into() })
            .clone()
            .finish()
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
        let config = br#"{"os":"wasip1","config":{"Env":["PATH=/","SSR_RENDER_MEMORY_LIMIT=64MiB"]}}"#;
        for layer in [layer.clone(), gzip(&layer)] {
            let archive = tar(&[("blobs/sha256/12", &layer), ("blobs/sha256/34", config)]);
            assert_eq!(names(&archive), ["ssr.wasm"]);
            assert_eq!(names(&gzip(&archive)), ["ssr.wasm"]);
            let image = search(&archive).unwrap();
            assert_eq!(image.modules[0].bytes, site(b"1"));
            assert_eq!(image.render_memory_limits.into_iter().collect::<Vec<_>>(), ["64MiB"]);
        }
        assert_eq!(names(&tar(&[("blobs/sha256/12", &site(b"")), ("index.json", b"{}")])), ["site.tar"]);
        assert_eq!(names(&site(b"")), ["site.tar"]);
    }

    #[test]
    fn equal_modules_count_once_and_other_modules_are_ignored() {
        let first = tar(&[("a.wasm", &site(b"1")), ("other.wasm", b"\0asm\x01\0\0\0"), ("a.js", b"\0as")]);
        let second =
            tar(&[("b.wasm", &site(b"1")), ("c.wasm", &site(&[2; 5000])), ("d.wasm.gz", &gzip(&site(b"3")))]);
        assert_eq!(names(&tar(&[("1/layer.tar", &first), ("2/layer.tar", &second)])), ["a.wasm", "c.wasm"]);
    }

    #[test]
    fn an_archive_without_a_site_is_refused_with_its_name_and_the_reason() {
        let other = tar(&[("ssr.wasm", b"\0asm\x01\0\0\0")]);
        let zstd = tar(&[("blobs/sha256/12", b"\x28\xb5\x2f\xfd....")]);
        let cut = tar(&[("blobs/sha256/12", &gzip(&other)[..40])]);
        for (bytes, says) in [
            (&b""[..], "holds no site: no file in it is a WebAssembly module"),
            (b"text", "holds no site: no file in it"),
            (&tar(&[("layer", &tar(&[("index.html", b"<html>")]))]), "holds no site: no file"),
            (
                &tar(&[("layer", &other)]),
                "holds no site: 'ssr.wasm': it is a WebAssembly module but not a site",
            ),
            (b"\0asm\x01\0\0\0", "site.tar': it is a WebAssembly module but not a site"),
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
    fn nested_compression_is_not_followed_forever() {
        let nested = (0..20).fold(site(b""), |bytes, _| gzip(&bytes));
        assert!(search(&nested).is_err());
    }
}
