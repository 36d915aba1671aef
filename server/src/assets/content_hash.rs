//! File names that carry a hash of the content, as bundlers write them. Such a file never
//! changes: another content has another name.
//!
//! Known forms: `index-Bk3xR_2a.js` (Vite, Rollup: eight of base64url), `main-5KQ7XJZB.js`
//! (esbuild: eight of base32), `main.1f3c9a0b.css` (webpack, Parcel: eight or more of
//! hexadecimal), `main-ad7415e85e0e94f1.js` (Next), and `3f2a9c….woff2` (a hash alone).

use std::path::Path;

/// Digits of a hash in base64url or base32.
const LENGTH: usize = 8;

/// Fewest digits of a hexadecimal hash.
const MIN_HEX: usize = 8;

/// Extensions of pages.
const PAGES: [&str; 3] = ["html", "htm", "xhtml"];

/// Lengths of the groups of a UUID, which names a thing and not its content.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// How sure one must be that eight characters are a hash and no word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The build's manifest lists the file: its name has a hash if it has a place for one.
    Listed,
    /// The file lies where Vite puts files with hashes.
    Expected,
    /// The name alone.
    NameOnly,
}

impl Evidence {
    /// Fewest changes between kinds of characters. Eight random ones have four or five, words
    /// with a number or a capital (`version2`, `README2`) have one or two.
    fn min_changes(self) -> usize {
        match self {
            Self::Listed => 0,
            Self::Expected => 2,
            Self::NameOnly => 4,
        }
    }
}

/// Whether the last part of a path has a hash in it.
pub fn has_hash(path: &str, evidence: Evidence) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // Without its extensions (`.js`, `.js.map`): what follows the last part that can be one.
    let mut parts: Vec<&str> = name.split('.').collect();
    // Pages keep their names when they change.
    if parts.len() < 2 || parts.pop().is_some_and(|last| PAGES.contains(&last)) {
        return false;
    }
    parts.into_iter().filter(|part| !is_uuid(part)).any(|part| {
        let hexadecimal = part.rsplit('-').next().is_some_and(is_hexadecimal);
        hexadecimal
            || is_hexadecimal(part)
            || base64_tail(part).is_some_and(|tail| looks_random(tail, evidence))
    })
}

/// At least eight hexadecimal digits in one case, letters and numbers among them: neither a
/// date nor a word.
fn is_hexadecimal(text: &str) -> bool {
    let digits = |letters: fn(&u8) -> bool| text.bytes().all(|byte| byte.is_ascii_digit() || letters(&byte));
    text.len() >= MIN_HEX
        && (digits(|byte| (b'a'..=b'f').contains(byte)) || digits(|byte| (b'A'..=b'F').contains(byte)))
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a text ends with a UUID.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let last = groups.len().checked_sub(UUID.len()).and_then(|from| groups.get(from..));
    last.is_some_and(|last| {
        last.iter().zip(UUID).all(|(group, length)| group.len() == length && is_hex(group))
    })
}

/// The last eight characters, if a hyphen is before them. A hash can have hyphens itself.
fn base64_tail(part: &str) -> Option<&str> {
    let start = part.len().checked_sub(LENGTH)?;
    let tail = part.get(start..)?;
    let base64 = tail.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (base64 && part[..start].ends_with(['-', '.'])).then_some(tail)
}

fn looks_random(text: &str, evidence: Evidence) -> bool {
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    let kinds: Vec<u8> = text.bytes().map(kind).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // `step-1-2-3`: separators are no digits of a hash unless there are others of each kind.
    let separated = kinds.contains(&3) && !(kinds.contains(&1) && kinds.contains(&2));
    // One hash in sixty has no capital, and is taken for a word such as `1024x768`.
    let word = separated || !kinds.contains(&2);
    changes >= evidence.min_changes() && (evidence == Evidence::Listed || !word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundlers_names_have_a_hash() {
        for name in [
            "/assets/index-Bk3xR_2a.js",
            "/assets/index-D-x1Y_9z.css",
            "/assets/vendor-DiwrgTda.js.map",
            "/_next/static/chunks/main-ad7415e85e0e94f1.js",
            "/static/js/main.1f3c9a0b.chunk.js",
            "/main.1f3c9a0b7d5e4c2b1a90.css",
            "/fonts/3f2a9c1b4d5e6f70.woff2",
        ] {
            assert!(has_hash(name, Evidence::Expected), "{name}");
        }
        assert!(has_hash("/main-5KQ7XJZB.js", Evidence::Expected));
        assert!(has_hash("/assets/index-abcdefgh.js", Evidence::Listed));
    }

    #[test]
    fn ordinary_names_have_none() {
        for name in [
            "/assets/index.js",
            "/assets/main-carousel.js",
            "/assets/the-Carousel.js",
            "/assets/api-version2.js",
            "/assets/report-20241231.pdf",
            "/assets/jquery-3.7.1.min.js",
            "/assets/step-1-2-3-4.png",
            "/assets/photo-1024x768.jpg",
            "/assets/bootstrap.bundle.min.js",
            "/assets/deadbeef.js",
            "/assets/12345678.png",
            "/assets/x",
            "/assets/3f2a1b4c-9d8e-4f70-a1b2-c3d4e5f60718.png",
            "/photos/user-3f2a1b4c-9d8e-4f70-a1b2-c3d4e5f60718.jpg",
            "/post-3f2a1b4c.html",
            "/assets/index-Bk3xR_2a.html",
            "/about",
            "/",
        ] {
            assert!(!has_hash(name, Evidence::Expected), "{name}");
        }
        assert!(!has_hash("/case-iPhone15.png", Evidence::NameOnly));
        assert!(!has_hash("/assets/index.js", Evidence::Listed));
    }
}
