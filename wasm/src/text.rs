//! Modules in WebAssembly's text format.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// How many of a file's first bytes tell whether it is such a module, if not all before its
/// first parenthesis are comments.
pub const HEAD: usize = 4096;

/// Most bytes of a text.
const MAX_TEXT: u64 = 64 << 20;

/// Whether a file that begins with these bytes is a module in the text format.
pub fn is_text(head: &[u8]) -> bool {
    let mut rest = head;
    loop {
        rest = rest.trim_ascii_start();
        rest = if rest.starts_with(b";;") {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            &rest[end..]
        } else if rest.starts_with(b"(;") {
            let Some(end) = rest.windows(2).position(|pair| pair == b";)") else { return false };
            &rest[end + 2..]
        } else {
            break;
        }
    }
    let Some(word) = rest.strip_prefix(b"(") else { return false };
    let word = word.trim_ascii_start();
    [&b"module"[..], b"component"].iter().any(|keyword| {
        word.strip_prefix(*keyword).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric))
    })
}

/// A file's first bytes, at most [`HEAD`].
pub fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let length = file.read_at(&mut head, 0)?;
    head.truncate(length);
    Ok(head)
}

/// Whether a file is a module in the text format.
pub fn is_text_file(file: &File) -> io::Result<bool> {
    Ok(is_text(&head(file)?))
}

/// The text of a file that is a module in the text format; `None` for any other.
pub(crate) fn read(file: &File) -> io::Result<Option<Vec<u8>>> {
    if !is_text_file(file)? {
        return Ok(None);
    }
    if file.metadata()?.len() > MAX_TEXT {
        return Err(io::Error::other(format!("its text has more than {} MiB", MAX_TEXT >> 20)));
    }
    whole(file).map(Some)
}

/// The binary of a module's text. The error says where the text is wrong.
pub fn assemble(text: &[u8]) -> Result<Vec<u8>, String> {
    wat::parse_bytes(text)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| format!("its text is no WebAssembly: {error}"))
}

/// All of a file, from its beginning.
///
/// # Errors
/// If it cannot be read, or there is no memory for it.
pub fn whole(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_recognized_behind_comments() {
        for text in
            ["(module)", " \n;; hello\n(module $m", "(; a (; ;)\n( module\n", "(component)", "(module(func))"]
        {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        for text in ["", "module", "(modules)", "(; open", "#!/bin/sh", "\0asm", "(defun module)"] {
            assert!(!is_text(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_wrong_text_is_told_by_its_line() {
        let error = assemble(b"(module\n  (func (export \"_start\")\n    i32.cnst 1))").unwrap_err();
        assert!(error.contains("i32.cnst") && error.contains("3:"), "{error}");
    }
}
