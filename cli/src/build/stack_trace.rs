//! Translates stack traces to the site's own sources with the bundle's source map.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use oxc_sourcemap::SourceMap;

/// Translates positions in one bundle.
pub struct StackTrace<'a> {
    /// The bundle's name in stack traces.
    name: &'a str,
    map: Option<SourceMap<'static>>,
}

impl<'a> StackTrace<'a> {
    /// For the bundle `entry` with the text `source`. The source map is where the
    /// text says, or beside the bundle; it is optional.
    pub fn of(entry: &'a Path, source: &str) -> Self {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or("entry.js");
        Self { name, map: find_map(entry, source) }
    }

    /// `stack` with every `bundle.js:line:column` replaced by the original position.
    pub fn translate(&self, stack: &str) -> String {
        let Some(map) = &self.map else {
            return stack.to_owned();
        };
        let lines = map.generate_lookup_table();
        // The original of a position, which counts from 1 as stack traces do.
        let original = |line: u32, column: u32| {
            let token = map.lookup_source_view_token(&lines, line.checked_sub(1)?, column.checked_sub(1)?)?;
            let source = token.get_source()?.trim_start_matches("../");
            Some(format!("{source}:{}:{}", token.get_src_line() + 1, token.get_src_col() + 1))
        };
        let mark = format!("{}:", self.name);
        let mut out = String::with_capacity(stack.len());
        let mut rest = stack;
        while let Some(at) = rest.find(&mark) {
            let after = &rest[at + mark.len()..];
            out.push_str(&rest[..at]);
            match position(after) {
                Some((line, column, length)) => {
                    match original(line, column) {
                        Some(place) => out.push_str(&place),
                        None => out.push_str(&rest[at..at + mark.len() + length]),
                    }
                    rest = &after[length..];
                }
                None => {
                    out.push_str(&mark);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

fn find_map(entry: &Path, source: &str) -> Option<SourceMap<'static>> {
    let reference = source.rsplit_once("//# sourceMappingURL=").map(|(_, url)| url.trim());
    let json = match reference {
        Some(url) if url.starts_with("data:") => decode_data_url(url)?,
        Some(name) => fs::read(entry.with_file_name(name)).ok()?,
        None => fs::read(entry.with_file_name(format!("{}.map", entry.file_name()?.to_str()?))).ok()?,
    };
    SourceMap::from_json_string(std::str::from_utf8(&json).ok()?).ok().map(SourceMap::into_owned)
}

/// The contents of a base64 data URL; bundlers write no other kind.
fn decode_data_url(url: &str) -> Option<Vec<u8>> {
    let (_, base64) = url.split_once(";base64,")?;
    Base64::decode_vec(base64).ok()
}

/// `line:column` at the start of `text`, and its length in bytes.
fn position(text: &str) -> Option<(u32, u32, usize)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let line = digits(text);
    let rest = text[line..].strip_prefix(':')?;
    let column = digits(rest);
    Some((text[..line].parse().ok()?, rest[..column].parse().ok()?, line + 1 + column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_translated_and_the_rest_is_unchanged() {
        // Line 1, column 1 of the bundle is line 10, column 5 of src/page.jsx.
        let map = r#"{"version":3,"sources":["../../src/page.jsx"],"names":[],"mappings":"AASI"}"#;
        let directory = tempfile::tempdir().unwrap();
        let entry = directory.path().join("entry.js");
        fs::write(directory.path().join("entry.js.map"), map).unwrap();
        let trace = StackTrace::of(&entry, "code");
        assert_eq!(
            trace.translate("    at deep (entry.js:1:9)\n    at <eval> (entry.js)\n    at other.js:1:2"),
            "    at deep (src/page.jsx:10:5)\n    at <eval> (entry.js)\n    at other.js:1:2"
        );
    }

    #[test]
    fn a_source_map_may_be_part_of_the_bundle() {
        let map = br#"{"version":3,"sources":["page.jsx"],"names":[],"mappings":"AASI"}"#;
        let url = format!("data:application/json;charset=utf-8;base64,{}", Base64::encode_string(map));
        let trace = StackTrace::of(
            Path::new("/nonexistent/entry.js"),
            &format!("code\n//# sourceMappingURL={url}\n"),
        );
        assert_eq!(trace.translate("at entry.js:1:2"), "at page.jsx:10:5");
    }

    #[test]
    fn a_stack_trace_without_a_source_map_is_unchanged() {
        let trace = StackTrace::of(Path::new("/nonexistent/entry.js"), "code");
        assert_eq!(trace.translate("at entry.js:1:2"), "at entry.js:1:2");
    }
}
