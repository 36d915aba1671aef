//! `ssr cache list`: the table of cached files.

use std::fmt;
use std::fs::File;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use ssr_code_cache::cache::{Listed, Remembered};
use ssr_code_cache::entry::{self, Unusable};
use ssr_code_cache::metadata::EntryMetadata;
use ssr_wasm::limits::DEFAULT_RENDER_MEMORY_LIMIT;

use super::place::{Place, advise};
use crate::output::print;

/// Digits of a digest in the table.
const DIGITS: usize = 12;

/// The most characters of a name in the table.
const MAX_NAME: usize = 40;

/// Prints the table, most recently used files first, and then the modules that do not
/// compile.
pub fn list(place: &Place) -> Result<()> {
    let (mut entries, mut failures) = (Vec::new(), Vec::new());
    if place.exists() {
        let cache = place.open()?;
        entries = cache.list().map_err(advise)?;
        failures = cache.failures();
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.since));
    let table = table(&entries, &failures, place, SystemTime::now());
    print(table.as_bytes())
}

fn table(entries: &[Listed], failures: &[Remembered], place: &Place, now: SystemTime) -> String {
    let mut rows = Vec::new();
    for entry in entries {
        let metadata = entry.metadata.as_ref().ok();
        let state = state(entry);
        rows.push([
            short(digest(entry)).to_owned(),
            metadata.map_or_else(|| "-".to_owned(), |metadata| plain(&metadata.name)),
            metadata.map_or_else(|| "-".to_owned(), target),
            Size(entry.size).to_string(),
            ago(now.duration_since(entry.used).unwrap_or_default()),
            state.map_or_else(String::new, str::to_owned),
            users(entry),
        ]);
    }
    for failure in failures {
        let age = now.duration_since(failure.since).unwrap_or_default();
        rows.push([
            short(&failure.module).to_owned(),
            plain(&failure.failure.name),
            "-".to_owned(),
            "-".to_owned(),
            ago(age),
            if failure.failure.passing { "out of memory or time" } else { "does not compile" }.to_owned(),
            failure.namespace.as_deref().map(plain).unwrap_or_default(),
        ]);
    }
    if !rows.is_empty() {
        rows.insert(
            0,
            ["MODULE", "NAME", "TARGET", "SIZE", "LAST USED", "", "NAMESPACES"].map(str::to_owned),
        );
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    let sizes = entries.iter().map(|entry| entry.on_disk);
    let total = sizes.chain(failures.iter().map(Remembered::on_disk)).sum();
    let (limit, directory) = (Size(place.size), place.directory.display());
    text.push_str(&format!(
        "{}, {} of at most {limit}, in '{directory}'{}\n",
        files(entries.len() + failures.len()),
        Size(total),
        if place.enabled { "" } else { ", which the node's configuration turns off" }
    ));
    text
}

/// The containerd namespaces that use a file.
fn users(entry: &Listed) -> String {
    let names: Vec<_> = entry.namespaces.keys().map(|name| plain(name)).collect();
    names.join(",")
}

/// Why a file would not be used; `None` if it would.
fn state(entry: &Listed) -> Option<&'static str> {
    let checked = File::open(&entry.path).map_err(Unusable::from).and_then(|file| entry::check(&file));
    match checked {
        Ok(metadata) if metadata.key.module != digest(entry) => Some("damaged"),
        Ok(metadata) if !metadata.is_current() => Some("another version"),
        Ok(_) => None,
        Err(Unusable::Foreign) => Some("another version"),
        Err(Unusable::Damaged) => Some("damaged"),
        Err(Unusable::Read(_)) => Some("unreadable"),
    }
}

fn target(metadata: &EntryMetadata) -> String {
    let name = plain(&metadata.target);
    match metadata.render_memory_limit.filter(|limit| *limit != DEFAULT_RENDER_MEMORY_LIMIT) {
        Some(limit) => format!("{name} (SSR_RENDER_MEMORY_LIMIT={limit})"),
        None => name,
    }
}

/// The digest of an entry's module, taken from the file name.
pub fn digest(entry: &Listed) -> &str {
    let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

/// A digest's first digits.
pub fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}

/// A name without control characters: it comes from an image and goes to a terminal.
pub fn plain(name: &str) -> String {
    let shown = name.chars().take(MAX_NAME);
    shown.map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// One line metadata compiled code: the module's name and digest, and the target.
pub fn describe(metadata: &EntryMetadata) -> String {
    format!("{} ({}) for {}", plain(&metadata.name), short(&metadata.key.module), metadata.target)
}

/// A number of files, with the word.
pub fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// A number of bytes in a readable unit.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 as f64 / f64::from(1 << 20);
        match self.0 {
            ..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.0} KiB", self.0 as f64 / 1024.0),
            _ if mebibytes >= 100.0 => write!(f, "{mebibytes:.0} MiB"),
            _ => write!(f, "{mebibytes:.1} MiB"),
        }
    }
}

fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_a_short_form() {
        let sizes =
            [0, 1023, 1024, 700_000, 1 << 20, 5_400_000, 256 << 20].map(|size| Size(size).to_string());
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "684 KiB", "1.0 MiB", "5.1 MiB", "256 MiB"]);
        let times = [0, 1, 59, 60, 7_300, 86_400, 864_000].map(|seconds| ago(Duration::from_secs(seconds)));
        let expected = ["0 seconds", "1 second", "59 seconds", "1 minute", "2 hours", "1 day", "10 days"];
        assert_eq!(times, expected.map(|time| format!("{time} ago")));
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\n\u{9b}c"), "a?[2Jb??c");
        assert_eq!(plain(&"x".repeat(1000)).len(), MAX_NAME);
    }

    #[test]
    fn columns_are_aligned_and_the_total_names_the_directory() {
        let place =
            Place { directory: "/cache".into(), size: 1 << 20, enabled: true, trusted_keys: Vec::new() };
        let entry = |name: &str, size, namespaces: &[&str]| Listed {
            path: format!("/cache/{name}.00.code").into(),
            size,
            on_disk: size + 4096,
            used: SystemTime::UNIX_EPOCH,
            namespaces: namespaces.iter().map(|name| ((*name).to_owned(), SystemTime::UNIX_EPOCH)).collect(),
            metadata: Err(Unusable::Foreign),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(120);
        let table = table(
            &[entry("0123456789abcdef", 2048, &["default", "k8s.io"]), entry("12", 1, &[])],
            &[],
            &place,
            now,
        );
        let expected = "\
MODULE        NAME  TARGET  SIZE   LAST USED                  NAMESPACES
0123456789ab  -     -       2 KiB  2 minutes ago  unreadable  default,k8s.io
12            -     -       1 B    2 minutes ago  unreadable
2 files, 10 KiB of at most 1.0 MiB, in '/cache'
";
        assert_eq!(table, expected);
    }
}
