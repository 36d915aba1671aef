//! Telling what a module is, by what it says of itself.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

/// The version of the render ABI that this server speaks; see docs/render-abi.md.
pub const ABI_VERSION: u32 = 1;

/// The custom section by which `ssr build` marks a module as a site.
pub const SECTION: &str = "ssr:site";

/// The contents of that section, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SiteSection {
    /// The render ABI that the module was built for.
    pub abi: u32,
    /// The version of `ssr` that built it.
    pub built_by: String,
}

/// Checks that `bytes` are a site that this server can run; otherwise says what
/// they are and what to do.
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
        return Err(format!("it is no WebAssembly module: {is}; build it with `ssr build`"));
    }
    if Parser::is_component(bytes) {
        return Err(
            "it is a WebAssembly component, which this version does not serve; build the site with `ssr build`".to_owned(),
        );
    }
    let damaged = |error: wasmparser::BinaryReaderError| {
        format!("it is damaged or incomplete ({error}); build it, or pull the image, again")
    };
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CustomSection(section) = payload.map_err(damaged)? else { continue };
        if section.name() != SECTION {
            continue;
        }
        let site: SiteSection = serde_json::from_slice(section.data()).map_err(|error| {
            format!("its section '{SECTION}' is not understood ({error}); build it again with `ssr build`")
        })?;
        if site.abi != ABI_VERSION {
            return Err(format!(
                "it was built by ssr {} for render ABI {}, and this server speaks ABI {ABI_VERSION}; \
                 build it again with `ssr build` of this version ({})",
                site.built_by,
                site.abi,
                env!("CARGO_PKG_VERSION"),
            ));
        }
        return Ok(site);
    }
    Err("it is a WebAssembly module but no site: it was not made by `ssr build`".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A module with nothing but the section.
    pub(crate) fn site(section: &str) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.push(0);
        bytes.push((1 + SECTION.len() + section.len()) as u8);
        bytes.push(SECTION.len() as u8);
        bytes.extend(SECTION.as_bytes());
        bytes.extend(section.as_bytes());
        bytes
    }

    #[test]
    fn a_site_is_told_by_its_section() {
        let section = check(&site(r#"{"abi":1,"built_by":"0.1.0"}"#)).unwrap();
        assert_eq!(section, SiteSection { abi: 1, built_by: "0.1.0".to_owned() });
    }

    #[test]
    fn a_site_of_another_abi_is_refused_with_the_way_out() {
        let error = check(&site(r#"{"abi":9,"built_by":"7.0"}"#)).unwrap_err();
        assert!(error.starts_with(
            "it was built by ssr 7.0 for render ABI 9, and this server speaks ABI 1; build it again"
        ));
    }

    #[test]
    fn what_is_no_site_is_called_what_it_is() {
        for (bytes, says) in [
            (&b""[..], "the file is empty"),
            (b"<html>", "does not begin with"),
            (b"\x1f\x8b\x08", "compressed with gzip"),
            (b"\x7fELF", "native program"),
            (b"\0asm\x0d\0\x01\0", "component"),
            (b"\0asm\x01\0\0\0", "no site"),
            (b"\0asm\x01\0\0\0\x01\x7f", "damaged or incomplete"),
            (b"\0asm", "damaged or incomplete"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(check(&site("nonsense")).unwrap_err().contains("not understood"));
    }
}
