//! Tells what a module is from its contents.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentExportSectionReader, ComponentImportSectionReader,
    ImportSectionReader, Parser, Payload,
};
use wasmtime::Module;

use crate::engine::Form;
use crate::needs;

/// The version of the render ABI that this host implements; see docs/render-abi.md.
pub const ABI_VERSION: u32 = 1;

/// The custom section that `ssr build` adds to mark a module as a site.
pub const SITE_SECTION: &str = "ssr:site";

/// The exports of a command, without the ends of their versions.
const RUN: [&str; 2] = ["wasi:cli/run@0.2.", "wasi:cli/run@0.3."];
/// Those of a component that answers requests.
const HANDLER: [&str; 2] = ["wasi:http/incoming-handler@0.2.", "wasi:http/handler@0.3."];

/// Most bytes of a section that are read to tell what a module is.
const MAX_SECTION: u32 = 16 << 20;
/// Most bytes of the names of custom sections that matter, with their lengths.
const CUSTOM_NAME: u32 = 64;

/// The contents of that section, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SiteSection {
    /// The render ABI that the module was built for.
    pub abi: u32,
    /// The version of `ssr` that built it.
    pub built_by: String,
}

/// What a module is.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A site that `ssr build` made.
    Site(SiteSection),
    /// A core module that runs once: a WASI command, or a library with a function to call.
    Command,
    /// A component that runs once: it exports `wasi:cli/run`, of preview 2 or 3.
    CommandComponent,
    /// A component that answers HTTP requests: it exports `wasi:http/incoming-handler`, or in
    /// preview 3 `wasi:http/handler`.
    Handler,
}

impl Kind {
    /// Whether it is a component rather than a core module.
    pub fn is_component(&self) -> bool {
        matches!(self, Self::CommandComponent | Self::Handler)
    }

    /// What is compiled.
    pub fn form(&self) -> Form {
        if self.is_component() { Form::Component } else { Form::Module }
    }
}

/// What a file of a module is, without reading its code. The outer error is the file's; the
/// inner one says what is wrong with the module and what to do.
pub fn kind_of(file: &File) -> io::Result<Result<Kind, String>> {
    look(&file)
}

/// Checks that `bytes` are a whole module of a kind that this host runs. The error says what
/// they are instead and what to do.
pub fn check(bytes: &[u8]) -> Result<Kind, String> {
    let kind = look(&bytes).map_err(|error| error.to_string())??;
    // What a site has besides its section, the compiler checks.
    if matches!(kind, Kind::Site(_)) {
        return Ok(kind);
    }
    for payload in Parser::new(0).parse_all(bytes) {
        payload.map_err(damaged)?;
    }
    Ok(kind)
}

/// The names of what a core module exports, as far as they can be read.
pub fn exports(module: &[u8]) -> Vec<String> {
    let mut payloads = Parser::new(0).parse_all(module).filter_map(Result::ok);
    let section = payloads.find_map(|payload| match payload {
        Payload::ExportSection(exports) => Some(exports),
        _ => None,
    });
    section.into_iter().flatten().filter_map(Result::ok).map(|export| export.name.to_owned()).collect()
}

/// The plugin that a dynamically linked Javy module needs, by the name that it imports.
pub fn javy_plugin(module: &Module) -> Option<&str> {
    module.imports().map(|import| import.module()).find(|module| needs::is_javy(module))
}

/// The bytes of a module.
trait Bytes {
    /// As many of the bytes at `offset` as there are, up to `length`.
    fn at(&self, offset: u64, length: u32) -> io::Result<Vec<u8>>;
}

impl Bytes for &[u8] {
    fn at(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        Ok(rest[..rest.len().min(length as usize)].to_vec())
    }
}

impl Bytes for &File {
    fn at(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn look(bytes: &impl Bytes) -> io::Result<Result<Kind, String>> {
    let head = bytes.at(0, 8)?;
    if let Err(reason) = check_head(&head) {
        return Ok(Err(reason));
    }
    let mut found = Found { component: Parser::is_component(&head), ..Found::default() };
    let mut at = head.len() as u64;
    while found.site.is_none() {
        let header = bytes.at(at, 6)?;
        let Some((&id, length)) = header.split_first() else { break };
        let mut reader = BinaryReader::new(length, 0);
        let Ok(length) = reader.read_var_u32() else { return Ok(Err(cut_off())) };
        let start = at + 1 + reader.original_position() as u64;
        let wanted = match found.wants(id) {
            Wanted::Nothing => 0,
            Wanted::Name => CUSTOM_NAME,
            Wanted::Whole => u32::MAX,
        };
        if wanted > 0 {
            if length.min(wanted) > MAX_SECTION {
                return Ok(Err(format!("its section {id} has {length} bytes, more than {MAX_SECTION}")));
            }
            let mut section = bytes.at(start, length.min(wanted))?;
            if section.len() < length.min(wanted) as usize {
                return Ok(Err(cut_off()));
            }
            if wanted == CUSTOM_NAME && is_site(&section) {
                section = bytes.at(start, length.min(MAX_SECTION))?;
            }
            if let Err(reason) = found.note(id, &section) {
                return Ok(Err(reason));
            }
        }
        at = start + u64::from(length);
    }
    Ok(found.kind())
}

fn check_head(head: &[u8]) -> Result<(), String> {
    let is = match head {
        [] => return Err("the file is empty; build it again, or pull the image again".to_owned()),
        [0, b'a', b's', b'm', 1, 0, 0, 0] | [0, b'a', b's', b'm', 0x0d, 0, 1, 0] => return Ok(()),
        [0, b'a', b's', b'm', version @ ..] if version.len() == 4 => {
            return Err(format!(
                "it has the version {version:02x?} of WebAssembly, which is neither a module's nor a component's"
            ));
        }
        [0, b'a', b's', b'm', ..] => return Err(cut_off()),
        [0x1f, 0x8b, ..] => "it is compressed with gzip",
        [0x7f, b'E', b'L', b'F', ..] => "it is a native program (ELF), perhaps precompiled code",
        [b'#', b'!', ..] => "it is a script",
        _ => "it does not begin with \\0asm",
    };
    Err(format!("it is not a WebAssembly module: {is}; a site's is built with `ssr build`"))
}

fn damaged(error: BinaryReaderError) -> String {
    format!("it is damaged or incomplete ({error}); build it again, or pull the image again")
}

fn cut_off() -> String {
    "it is damaged or incomplete (it ends within a section); build it again, or pull the image again"
        .to_owned()
}

/// How much of a section matters.
enum Wanted {
    Nothing,
    /// Its name, and the rest if it is the site's.
    Name,
    Whole,
}

/// What has been seen of a module.
#[derive(Default)]
struct Found {
    component: bool,
    site: Option<SiteSection>,
    runs: bool,
    answers: bool,
    /// Exports of a component, for an error.
    exports: Vec<String>,
    /// What it needs and this host does not have.
    unmet: Option<String>,
}

/// Whether these first bytes of a custom section are those of the site's.
fn is_site(section: &[u8]) -> bool {
    BinaryReader::new(section, 0).read_string().is_ok_and(|name| name == SITE_SECTION)
}

impl Found {
    // Numbers of sections: WebAssembly's binary format, and the component model's Binary.md.
    fn wants(&self, id: u8) -> Wanted {
        match (self.component, id) {
            (false, 0) => Wanted::Name,
            (false, 2) | (true, 10 | 11) => Wanted::Whole,
            _ => Wanted::Nothing,
        }
    }

    fn note(&mut self, id: u8, section: &[u8]) -> Result<(), String> {
        let reader = BinaryReader::new(section, 0);
        match (self.component, id) {
            (false, 0) => {
                if is_site(section) {
                    self.site = Some(site(section)?);
                }
            }
            (false, 2) => {
                for import in ImportSectionReader::new(reader).map_err(damaged)?.into_imports() {
                    let import = import.map_err(damaged)?;
                    self.unmet = self.unmet.take().or_else(|| needs::of_import(&import));
                }
            }
            (true, 10) => {
                for import in ComponentImportSectionReader::new(reader).map_err(damaged)? {
                    let import = import.map_err(damaged)?;
                    self.unmet = self.unmet.take().or_else(|| needs::of_interface(import.name.name));
                }
            }
            _ => {
                for export in ComponentExportSectionReader::new(reader).map_err(damaged)? {
                    let name = export.map_err(damaged)?.name.name;
                    let is_one_of = |prefixes: [&str; 2]| {
                        prefixes.iter().any(|prefix| name.starts_with(prefix))
                            && needs::of_interface(name).is_none()
                    };
                    self.runs |= is_one_of(RUN);
                    self.answers |= is_one_of(HANDLER);
                    self.exports.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    fn kind(self) -> Result<Kind, String> {
        if let Some(site) = self.site {
            return Ok(Kind::Site(site));
        }
        if let Some(unmet) = self.unmet {
            return Err(unmet);
        }
        match self.component {
            false => Ok(Kind::Command),
            true if self.answers => Ok(Kind::Handler),
            true if self.runs => Ok(Kind::CommandComponent),
            true => {
                let exports = match self.exports.as_slice() {
                    [] => "nothing".to_owned(),
                    exports => exports.join(", "),
                };
                Err(format!(
                    "it is a component that exports {exports}, and none of what this runtime runs: wasi:cli/run \
                     and wasi:http/incoming-handler of preview 2, wasi:cli/run and wasi:http/handler of preview 3"
                ))
            }
        }
    }
}

fn site(section: &[u8]) -> Result<SiteSection, String> {
    let mut reader = BinaryReader::new(section, 0);
    reader.read_string().map_err(damaged)?;
    let json = &section[reader.original_position()..];
    let site: SiteSection = serde_json::from_slice(json).map_err(|error| {
        format!("its section '{SITE_SECTION}' cannot be parsed ({error}); build it again with `ssr build`")
    })?;
    if site.abi != ABI_VERSION {
        return Err(format!(
            "it was built by ssr {} for render ABI {}, and this server implements ABI {ABI_VERSION}; \
             build it again with `ssr build` of version {}",
            site.built_by,
            site.abi,
            env!("CARGO_PKG_VERSION"),
        ));
    }
    Ok(site)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A module that consists of the section alone.
    fn site(section: &str) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        module.section(&wasm_encoder::CustomSection {
            name: SITE_SECTION.into(),
            data: section.as_bytes().into(),
        });
        module.finish()
    }

    fn text(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_site_is_recognized_by_its_section() {
        let section = check(&site(r#"{"abi":1,"built_by":"0.1.0"}"#)).unwrap();
        assert_eq!(section, Kind::Site(SiteSection { abi: 1, built_by: "0.1.0".to_owned() }));
    }

    #[test]
    fn a_site_of_another_abi_is_refused_with_the_way_out() {
        let error = check(&site(r#"{"abi":9,"built_by":"7.0"}"#)).unwrap_err();
        assert!(error.starts_with(
            "it was built by ssr 7.0 for render ABI 9, and this server implements ABI 1; build it again"
        ));
    }

    #[test]
    fn other_modules_are_commands_and_components_are_what_they_export() {
        let exporting =
            |name: &str| text(&format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#));
        for (bytes, kind) in [
            (text(r#"(module (func (export "_start")))"#), Kind::Command),
            (
                text(
                    r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
                ),
                Kind::Command,
            ),
            (exporting("wasi:cli/run@0.2.3"), Kind::CommandComponent),
            (exporting("wasi:cli/run@0.3.0"), Kind::CommandComponent),
            (exporting("wasi:http/incoming-handler@0.2.0"), Kind::Handler),
            (exporting("wasi:http/handler@0.3.0"), Kind::Handler),
        ] {
            assert_eq!(check(&bytes).unwrap(), kind);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(kind_of(&file).unwrap().unwrap(), kind, "from a file");
        }
        let error = check(&exporting("my:own/thing@1.0.0")).unwrap_err();
        assert!(error.contains("my:own/thing@1.0.0") && error.contains("wasi:cli/run"), "{error}");
        assert!(check(&text("(component)")).unwrap_err().contains("exports nothing"));
    }

    #[test]
    fn what_is_no_module_is_named_for_what_it_is() {
        for (bytes, says) in [
            (&b""[..], "the file is empty"),
            (b"<html>", "does not begin with"),
            (b"\x1f\x8b\x08", "compressed with gzip"),
            (b"\x7fELF", "native program"),
            (b"\0asm\x01\0\0\0\x01\x7f", "damaged or incomplete"),
            (b"\0asm\x01\0\0\0\x02\x05\x01", "damaged or incomplete"),
            (b"\0asm", "damaged or incomplete"),
            (b"\0asm\x02\0\0\0", "version"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(check(&site("nonsense")).unwrap_err().contains("cannot be parsed"));
    }

    #[test]
    fn the_kind_is_kept_beside_code_as_earlier_versions_kept_it() {
        let json = r#"{"site":{"abi":1,"built_by":"0.1.0"}}"#;
        let kind: Kind = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&kind).unwrap(), json);
    }
}
