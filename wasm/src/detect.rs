//! Tells what a module is from its contents.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

/// The version of the render ABI that this host implements; see docs/render-abi.md.
pub const ABI_VERSION: u32 = 1;

/// The custom section that `ssr build` adds to mark a module as a site.
pub const SITE_SECTION: &str = "ssr:site";

/// The contents of that section, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SiteSection {
    /// The render ABI that the module was built for.
    pub abi: u32,
    /// The version of `ssr` that built it.
    pub built_by: String,
}

/// Checks that `bytes` are a site that this host can run. The error says what they
/// are instead and what to do.
pub fn check(bytes: &[u8]) -> Result<SiteSection, String> {
    if bytes.is_empty() {
        return Err("the file is empty; build it with `ssr build`".to_owned());
    }
    if !bytes.starts_with(b"\0asm") {
        let is = match bytes {
            [0x1f, 0x8b, ..] => "it is compressed with gzip",
            [0x7f, b'E', b'L', b'F', ..] => "it is a native program (ELF), perhaps precompiled code",
            [b'#', b'!', ..] => "it is a script",
            _ => "it does not begin with \\0asm",
        };
        return Err(format!("it is not a WebAssembly module: {is}; build it with `ssr build`"));
    }
    if Parser::is_component(bytes) {
        return Err(
            "it is a WebAssembly component, which this version cannot serve; build the site with `ssr build`"
                .to_owned(),
        );
    }
    let damaged = |error: wasmparser::BinaryReaderError| {
        format!("it is damaged or incomplete ({error}); build it again, or pull the image again")
    };
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CustomSection(section) = payload.map_err(damaged)? else { continue };
        if section.name() != SITE_SECTION {
            continue;
        }
        let site: SiteSection = serde_json::from_slice(section.data()).map_err(|error| {
            format!(
                "its section '{SITE_SECTION}' cannot be parsed ({error}); build it again with `ssr build`"
            )
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
        return Ok(site);
    }
    Err("it is a WebAssembly module but not a site: it was not made by `ssr build`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that consists of the section alone.
    fn site(section: &str) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        module.section(&wasm_encoder::CustomSection {
            name: SITE_SECTION.into(),
            data: section.as_bytes().into(),
        });
        module.finish()
    }

    #[test]
    fn a_site_is_recognized_by_its_section() {
        let section = check(&site(r#"{"abi":1,"built_by":"0.1.0"}"#)).unwrap();
        assert_eq!(section, SiteSection { abi: 1, built_by: "0.1.0".to_owned() });
    }

    #[test]
    fn a_site_of_another_abi_is_refused_with_the_way_out() {
        let error = check(&site(r#"{"abi":9,"built_by":"7.0"}"#)).unwrap_err();
        assert!(error.starts_with(
            "it was built by ssr 7.0 for render ABI 9, and this server implements ABI 1; build it again"
        ));
    }

    #[test]
    fn non_sites_are_named_for_what_they_are() {
        for (bytes, says) in [
            (&b""[..], "the file is empty"),
            (b"<html>", "does not begin with"),
            (b"\x1f\x8b\x08", "compressed with gzip"),
            (b"\x7fELF", "native program"),
            (b"\0asm\x0d\0\x01\0", "component"),
            (b"\0asm\x01\0\0\0", "not a site"),
            (b"\0asm\x01\0\0\0\x01\x7f", "damaged or incomplete"),
            (b"\0asm", "damaged or incomplete"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(check(&site("nonsense")).unwrap_err().contains("cannot be parsed"));
    }
}
