//! Ranges of bytes as RFC 9110, 14.1.2 and 14.2 have them. `http-serve` 0.4 answers 416 to a
//! suffix that is longer than the file, and 206 to one of no bytes: it gets the ranges
//! resolved.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};

/// Most ranges that are sent in one response. Whoever asks for more gets the whole file.
const MAX_RANGES: usize = 16;

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The whole file: the header is invalid, in another unit, or asks for more than the file.
    Whole,
    /// Nothing that there is.
    Nothing,
    /// First and last byte of each range.
    Ranges(Vec<(u64, u64)>),
}

/// A request with the same headers, whose ranges are resolved for a file of `length` bytes.
/// `None` if it has no `Range` header.
pub fn resolved<B>(request: &Request<B>, length: u64) -> Option<Request<()>> {
    if !request.headers().contains_key(header::RANGE) {
        return None;
    }
    let mut resolved = Request::new(());
    resolved.method_mut().clone_from(request.method());
    resolved.headers_mut().clone_from(request.headers());
    let asked = match *request.method() {
        Method::GET => asked(request.headers(), length),
        // RFC 9110, 14.2: ranges have a meaning for GET only.
        _ => Asked::Whole,
    };
    let value = match asked {
        Asked::Whole => None,
        Asked::Nothing => Some(format!("bytes={length}-")),
        Asked::Ranges(ranges) => {
            let ranges: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            Some(format!("bytes={}", ranges.join(",")))
        }
    };
    match value.and_then(|value| HeaderValue::try_from(value).ok()) {
        Some(value) => resolved.headers_mut().insert(header::RANGE, value),
        None => resolved.headers_mut().remove(header::RANGE),
    };
    Some(resolved)
}

fn asked(headers: &HeaderMap, length: u64) -> Asked {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Asked::Whole };
    let Some(list) = value.to_str().ok().and_then(list_of_bytes) else { return Asked::Whole };
    // Some clients ask for ranges of whatever they get. An empty file has none to offer.
    if length == 0 {
        return Asked::Whole;
    }
    let mut ranges = Vec::new();
    let mut any = false;
    for item in list.split(',').map(|item| item.trim_matches([' ', '\t'])) {
        // RFC 9110, 5.6.1.2: empty elements of a list count for nothing.
        if item.is_empty() {
            continue;
        }
        any = true;
        match resolve(item, length) {
            Some(Some(range)) => ranges.push(range),
            Some(None) => {}
            None => return Asked::Whole,
        }
    }
    let bytes: u128 = ranges.iter().map(|(first, last)| u128::from(last - first) + 1).sum();
    match ranges.len() {
        _ if !any => Asked::Whole,
        0 => Asked::Nothing,
        // Overlapping ones, which would send more than the file.
        count if count > MAX_RANGES || (count > 1 && bytes > u128::from(length)) => Asked::Whole,
        _ => Asked::Ranges(ranges),
    }
}

/// What follows `bytes=`; units are case-insensitive (RFC 9110, 14.1).
fn list_of_bytes(value: &str) -> Option<&str> {
    let (unit, list) = value.trim().split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(list)
}

/// First and last byte of a range, `Some(None)` if the file has no such bytes, `None` if it is
/// invalid.
fn resolve(range: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let end = length.checked_sub(1)?;
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Some((suffix > 0).then(|| (length - suffix, end)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first <= end).then(|| (first, last.min(end))))
}

/// A number of any length; one that is too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resolved header for a file of 1000 bytes; empty if there is none.
    fn of(value: &'static str) -> String {
        let request = Request::get("/").header(header::RANGE, value).body(()).unwrap();
        let resolved = resolved(&request, 1000).unwrap();
        let value = resolved.headers().get(header::RANGE);
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn ranges_are_resolved() {
        for (asked, resolved) in [
            ("bytes=0-499", "bytes=0-499"),
            ("bytes=500-", "bytes=500-999"),
            ("bytes=-1", "bytes=999-999"),
            ("bytes=-1000", "bytes=0-999"),
            ("bytes=-1001", "bytes=0-999"),
            ("bytes=-99999999999999999999999", "bytes=0-999"),
            ("bytes=0-99999999999999999999999", "bytes=0-999"),
            ("bytes=999-1000", "bytes=999-999"),
            ("Bytes= 0-0 , -1 ,", "bytes=0-0,999-999"),
            ("bytes=0-0,5000-", "bytes=0-0"),
            ("bytes=0-0,-0", "bytes=0-0"),
        ] {
            assert_eq!(of(asked), resolved, "{asked}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_not_satisfiable() {
        for asked in ["bytes=1000-", "bytes=-0", "bytes=2000-3000", "bytes=-0,1000-"] {
            assert_eq!(of(asked), "bytes=1000-", "{asked}");
        }
    }

    #[test]
    fn what_is_invalid_or_more_than_the_file_is_the_whole_file() {
        for asked in [
            "bytes=5-3",
            "bytes=a-b",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=",
            "bytes=,",
            "bytes",
            "items=0-1",
            "bytes=0-1,x",
            "bytes=0-999,0-999",
            "bytes=0-,0-",
        ] {
            assert_eq!(of(asked), "", "{asked}");
        }
        let many: String = (0..17).map(|n| format!("{n}-{n},")).collect();
        let request = Request::get("/").header(header::RANGE, format!("bytes={many}")).body(()).unwrap();
        assert!(resolved(&request, 1000).unwrap().headers().get(header::RANGE).is_none());
    }

    #[test]
    fn an_empty_file_and_other_methods_have_no_ranges() {
        for (request, length) in [(Request::get("/"), 0), (Request::head("/"), 10)] {
            let request = request.header(header::RANGE, "bytes=0-1").body(()).unwrap();
            assert!(resolved(&request, length).unwrap().headers().get(header::RANGE).is_none());
        }
        assert!(resolved(&Request::get("/").body(()).unwrap(), 10).is_none());
    }
}
