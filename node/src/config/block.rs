//! What `ssr node install` writes into a file of somebody else: a block between two
//! marked lines, and marked lines. Both can be taken out again without knowing what the
//! file was like before.

use std::path::Path;

use crate::error::NodeError;

/// The first line of the block.
pub const BEGIN: &str = "# >>> containerd-shim-ssr (by `ssr node install`; `ssr node remove` takes it out)";

/// The first line where the file before it did not end with a line break.
const BEGIN_AFTER_TEXT: &str =
    "# >>> containerd-shim-ssr (by `ssr node install`; `ssr node remove` takes it out and joins the lines)";

/// The last line of the block.
pub const END: &str = "# <<< containerd-shim-ssr";

/// The end of a line that was added to a table.
const ADDED: &str = " # containerd-shim-ssr";

/// What stands between [`ADDED`] and the line that was there before.
const INSTEAD_OF: &str = ", instead of: ";

/// A file without our parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The text.
    pub text: String,
    /// Where in it our block was.
    pub block_at: Option<usize>,
}

/// Takes our parts out of a file. `path` is for errors.
pub fn strip(path: &Path, text: &str) -> Result<Stripped, NodeError> {
    let mut rest = String::with_capacity(text.len());
    let (mut begin, mut block_at) = (None, None);
    // The line break that was added before the block; it stays if something follows.
    let mut added_ending = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (content, _) = split_ending(line);
        let torn = |line, missing, text| NodeError::TornBlock { path: path.to_owned(), line, missing, text };
        if content == BEGIN || content == BEGIN_AFTER_TEXT {
            if let Some(line) = begin.replace(index + 1) {
                return Err(torn(line, "end", END));
            }
            if content == BEGIN_AFTER_TEXT {
                let without = rest.strip_suffix('\n').unwrap_or(&rest);
                let without = without.strip_suffix('\r').unwrap_or(without);
                added_ending = rest.split_off(without.len());
            }
            block_at = Some(rest.len());
        } else if content == END {
            if begin.take().is_none() {
                return Err(torn(index + 1, "beginning", BEGIN));
            }
        } else if begin.is_none() {
            if !added_ending.is_empty() {
                rest.push_str(&std::mem::take(&mut added_ending));
                block_at = Some(rest.len());
            }
            push_without_mark(&mut rest, line);
        }
    }
    match begin {
        Some(line) => Err(NodeError::TornBlock { path: path.to_owned(), line, missing: "end", text: END }),
        None => Ok(Stripped { text: rest, block_at }),
    }
}

/// Pushes a line, or what was there before us. A value that somebody has changed since
/// is theirs.
fn push_without_mark(rest: &mut String, line: &str) {
    let (content, ending) = split_ending(line);
    let indent = &content[..content.len() - content.trim_start().len()];
    let ours = content.find(ADDED).filter(|at| content[..*at].ends_with(" = true"));
    let Some(at) = ours else {
        return rest.push_str(line);
    };
    match content[at + ADDED.len()..].strip_prefix(INSTEAD_OF) {
        Some(before) => {
            for part in [indent, before, ending] {
                rest.push_str(part);
            }
        }
        None if content.len() == at + ADDED.len() => {}
        None => rest.push_str(line),
    }
}

/// Adds the block to a file without one: at its former place, or at the end. `lines` end
/// with a line break.
pub fn insert(stripped: &Stripped, lines: &str) -> String {
    let text = &stripped.text;
    let at = stripped.block_at.filter(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let (before, after) = text.split_at(at);
    let ends_line = before.is_empty() || before.ends_with('\n');
    let begin = if ends_line { BEGIN } else { BEGIN_AFTER_TEXT };
    let block = format!("{}{begin}\n{lines}{END}\n", if ends_line { "" } else { "\n" });
    format!("{before}{}{after}", with_endings_of(text, &block))
}

/// Replaces the line that holds the byte `at` by `assignment`, and keeps what it was.
pub fn replace_line(text: &str, at: usize, assignment: &str) -> String {
    let (start, end) = line_around(text, at);
    let (content, ending) = split_ending(&text[start..end]);
    let before = content.trim_start();
    let indent = &content[..content.len() - before.len()];
    format!("{}{indent}{assignment}{ADDED}{INSTEAD_OF}{before}{ending}{}", &text[..start], &text[end..])
}

/// Adds `assignment` after the line that holds the byte `at`.
pub fn insert_line_after(text: &str, at: usize, assignment: &str) -> String {
    let (start, end) = line_around(text, at);
    let content = text[start..end].trim_start_matches([' ', '\t']);
    let indent = &text[start..end - content.len()];
    let line = with_endings_of(text, &format!("{indent}  {assignment}{ADDED}\n"));
    format!("{}{line}{}", &text[..end], &text[end..])
}

/// The line that holds the byte `at`, with its ending.
fn line_around(text: &str, at: usize) -> (usize, usize) {
    let start = text[..at].rfind('\n').map_or(0, |line_break| line_break + 1);
    let end = text[at..].find('\n').map_or(text.len(), |line_break| at + line_break + 1);
    (start, end)
}

/// A line's content and its ending.
fn split_ending(line: &str) -> (&str, &str) {
    let content = line.strip_suffix('\n').unwrap_or(line);
    let content = content.strip_suffix('\r').unwrap_or(content);
    line.split_at(content.len())
}

/// `lines` with line breaks as `text` has them.
fn with_endings_of(text: &str, lines: &str) -> String {
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    if first.ends_with("\r\n") { lines.replace('\n', "\r\n") } else { lines.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> Stripped {
        strip(Path::new("file"), text).unwrap()
    }

    fn plain(text: &str) -> Stripped {
        Stripped { text: text.into(), block_at: None }
    }

    #[test]
    fn a_block_is_taken_out_byte_for_byte() {
        for text in
            ["", "a = 1\n", "a = 1", "a = 1\r\nb = 2\r\n", "a = 1\r\nb = 2", "\n\n", "[x]\n\n\n", "a\r\n\n"]
        {
            let with = insert(&plain(text), "[ssr]\n  b = 2\n");
            assert_eq!(stripped(&with).text, text, "{with:?}");
            assert_eq!(insert(&stripped(&with), "[ssr]\n  b = 2\n"), with);
            let windows = text.contains("\r\n");
            assert_eq!(with.contains("\r\n[ssr]\r\n"), windows, "{with:?}");
        }
    }

    #[test]
    fn what_was_added_around_a_block_stays() {
        let with = insert(&plain("a = 1"), "[ssr]\n") + "[mine]\n";
        assert_eq!(stripped(&with).text, "a = 1\n[mine]\n");
        let again = insert(&stripped(&with), "[other]\n");
        assert!(again.ends_with("[mine]\n") && again.contains("[other]\n"), "{again:?}");
    }

    #[test]
    fn a_line_is_replaced_and_put_back() {
        let text = "[x]\n    key = false  # mine\n[y]\n";
        let with = replace_line(text, text.find("false").unwrap(), "key = true");
        assert_eq!(with, "[x]\n    key = true # containerd-shim-ssr, instead of: key = false  # mine\n[y]\n");
        assert_eq!(stripped(&with).text, text);
        let changed = with.replace("key = true", "key = false");
        assert_eq!(stripped(&changed).text, changed);
    }

    #[test]
    fn a_line_is_added_and_taken_out() {
        for text in ["  [x]\n  [y]\n", "[x]\r\na = 1\r\n", "[x]\n"] {
            let with = insert_line_after(text, text.find("x").unwrap(), "key = true");
            assert!(with.contains("key = true # containerd-shim-ssr"), "{with:?}");
            assert_eq!(stripped(&with).text, text);
        }
    }

    #[test]
    fn half_a_block_is_refused() {
        for (text, line, missing) in [
            (format!("a = 1\n{BEGIN}\n[x]\n"), "line 2", "no end"),
            (format!("{END}\n"), "line 1", "no beginning"),
            (format!("{BEGIN}\n{BEGIN}\n{END}\n"), "line 1", "no end"),
        ] {
            let error = strip(Path::new("file"), &text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(missing), "{error}");
        }
    }
}
