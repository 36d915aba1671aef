//! Chooses among an asset and its compressed siblings by `Accept-Encoding` (RFC 9110,
//! 12.5.3).

use std::iter;

use http::header::{self, HeaderMap};

use super::index::Asset;
use super::variant::Variant;

/// The quality of the uncompressed file where the client does not state one: acceptable,
/// but the last choice.
const UNSTATED_IDENTITY: f32 = 0.0001;

/// The variant to send to a client with these request headers: the one of the highest
/// quality, and among equals the one that is usually smallest. The uncompressed file if
/// nothing is acceptable.
pub fn negotiate<'a>(asset: &'a Asset, headers: &HeaderMap) -> &'a Variant {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let accepted: Vec<_> = values.filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
    let quality = |variant: &Variant| quality(&accepted, variant.coding.unwrap_or(IDENTITY));
    // The file itself comes first, and its siblings from best to worst. Of several equal
    // ones, `max_by` returns the last.
    let (file, siblings) = (&asset.variants[0], &asset.variants[1..]);
    let acceptable = siblings.iter().rev().filter(|sibling| quality(sibling) > 0.0);
    let best = iter::once(file).chain(acceptable).max_by(|a, b| quality(a).total_cmp(&quality(b)));
    best.unwrap_or(file)
}

const IDENTITY: &str = "identity";

/// The codings of one header value with their qualities.
fn parse(value: &str) -> impl Iterator<Item = (&str, f32)> {
    value.split(',').map(|item| {
        let mut parameters = item.split(';').map(str::trim);
        let coding = parameters.next().unwrap_or_default();
        let quality = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("q").then(|| value.trim_start())
        });
        // An invalid quality counts as none stated.
        let quality = quality.and_then(|quality| quality.parse().ok()).filter(|q| (0.0..=1.0).contains(q));
        (coding, quality.unwrap_or(1.0))
    })
}

/// The quality of a coding; 0 if it is not acceptable.
fn quality(accepted: &[(&str, f32)], coding: &str) -> f32 {
    let stated = |coding: &str| {
        let found = accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(coding));
        found.map(|(_, quality)| *quality)
    };
    // RFC 9110, 8.4.1.3: recipients consider x-gzip equivalent to gzip.
    let alias = if coding == "gzip" { stated("x-gzip") } else { None };
    let default = if coding == IDENTITY { UNSTATED_IDENTITY } else { 0.0 };
    match stated(coding).or(alias) {
        Some(quality) => quality,
        // The wildcard stands for identity only to exclude it.
        None if coding == IDENTITY => stated("*").filter(|quality| *quality == 0.0).unwrap_or(default),
        None => stated("*").unwrap_or(default),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::assets::{Assets, Found};

    /// The coding chosen for an asset that has br, zstd and gzip siblings.
    fn chosen(values: &[&'static str]) -> Option<&'static str> {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.js", "a.js.br", "a.js.zst", "a.js.gz"] {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        let assets = Assets::index(root.path()).unwrap();
        let Found::Asset(asset) = assets.find("/a.js") else { panic!("no asset") };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        negotiate(&asset, &headers).coding
    }

    #[test]
    fn the_highest_quality_wins_and_then_the_best_compression() {
        for (accept, coding) in [
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("br")),
            ("br;q=0.1, gzip", Some("gzip")),
            ("br;q=0.1,gzip;q=0.2,zstd;q=0.15", Some("gzip")),
            ("br;q=0.5, gzip;q=0.5", Some("br")),
            ("br ; q=0.5 , gzip ; Q=0.6", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("gzip;q=0.001", Some("gzip")),
            ("br;q=0, *", Some("zstd")),
            ("*;q=0.5, gzip", Some("gzip")),
            ("*", Some("br")),
            ("identity;q=0.5, gzip;q=0.4", None),
            ("identity, gzip;q=0.4", None),
            ("identity, br", Some("br")),
            ("identity;q=0, gzip;q=0.1", Some("gzip")),
            ("br;q=nonsense", Some("br")),
        ] {
            assert_eq!(chosen(&[accept]), coding, "{accept}");
        }
    }

    #[test]
    fn the_file_itself_is_sent_to_everybody_else() {
        for accept in ["identity", "", "deflate", "br;q=0", "*;q=0", "identity;q=0", "gzip;q=0, br;q=0.0"] {
            assert_eq!(chosen(&[accept]), None, "{accept}");
        }
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn several_header_lines_are_one_list() {
        assert_eq!(chosen(&["gzip;q=0.5", "br;q=0.1"]), Some("gzip"));
        assert_eq!(chosen(&["deflate", "zstd"]), Some("zstd"));
    }
}
