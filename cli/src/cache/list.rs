//! The table of what a cache holds.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use ssr_server::code_cache::Listed;
use ssr_server::code_cache::entry::{self, Unusable};
use ssr_server::compile::About;
use ssr_server::settings::Settings;

use super::place::{Place, advise};

/// Digits of a digest that are shown.
const DIGITS: usize = 12;

/// Characters of a name that are shown.
const MOST_NAME: usize = 40;

/// Shows everything, what was used last first.
pub fn list(place: &Place) -> Result<()> {
    let mut entries = match place.exists() {
        true => place.open()?.list().map_err(advise)?,
        false => Vec::new(),
    };
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
    let table = table(&entries, place, SystemTime::now());
    io::stdout().lock().write_all(table.as_bytes()).context("cannot write to standard output")
}

fn table(entries: &[Listed], place: &Place, now: SystemTime) -> String {
    let mut rows = Vec::new();
    for entry in entries {
        let about = entry.about.as_ref().ok();
        let state = state(entry);
        rows.push([
            short(digest(entry)).to_owned(),
            about.map_or_else(|| "-".to_owned(), |about| plain(&about.name)),
            about.map_or_else(|| "-".to_owned(), target),
            Size(entry.size).to_string(),
            ago(now.duration_since(entry.used).unwrap_or_default()),
            state.map_or_else(String::new, str::to_owned),
        ]);
    }
    if !rows.is_empty() {
        rows.insert(0, ["MODULE", "NAME", "TARGET", "SIZE", "LAST USED", ""].map(str::to_owned));
    }
    let mut widths = [0; 6];
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
    let total = entries.iter().map(|entry| entry.size).sum();
    let (most, directory) = (Size(place.size), place.directory.display());
    text.push_str(&format!(
        "{}, {} of at most {most}, in '{directory}'\n",
        files(entries.len()),
        Size(total)
    ));
    text
}

/// Why code would not be used.
fn state(entry: &Listed) -> Option<&'static str> {
    let checked =
        File::open(&entry.path).map_err(Unusable::from).and_then(|mut file| entry::check(&mut file));
    match checked {
        Ok(about) if about.key.module != digest(entry) => Some("damaged"),
        Ok(about) if !about.is_current() => Some("another version"),
        Ok(_) => None,
        Err(Unusable::Foreign) => Some("another version"),
        Err(Unusable::Damaged) => Some("damaged"),
        Err(Unusable::Read(_)) => Some("not readable"),
    }
}

fn target(about: &About) -> String {
    let name = plain(&about.target);
    match about.render_memory.filter(|memory| *memory != Settings::default().render_memory) {
        Some(memory) => format!("{name} (SSR_RENDER_MEMORY={memory})"),
        None => name,
    }
}

/// The digest of an entry's module, which its file is called after.
pub fn digest(entry: &Listed) -> &str {
    let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

/// A digest's first digits.
pub fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}

/// A name without what a terminal would obey: it comes out of an image.
pub fn plain(name: &str) -> String {
    let shown = name.chars().take(MOST_NAME);
    shown.map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// How many files those are.
pub fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// A number of bytes for people.
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
    fn sizes_and_times_are_short() {
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
        assert_eq!(plain(&"x".repeat(1000)).len(), MOST_NAME);
    }

    #[test]
    fn columns_stand_below_each_other_and_the_sum_names_the_directory() {
        let place = Place { directory: "/cache".into(), size: 1 << 20, trusted_keys: Vec::new() };
        let entry = |name: &str, size| Listed {
            path: format!("/cache/{name}.00.code").into(),
            size,
            used: SystemTime::UNIX_EPOCH,
            about: Err(Unusable::Foreign),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(120);
        let table = table(&[entry("0123456789abcdef", 2048), entry("12", 1)], &place, now);
        let expected = "\
MODULE        NAME  TARGET  SIZE   LAST USED
0123456789ab  -     -       2 KiB  2 minutes ago  not readable
12            -     -       1 B    2 minutes ago  not readable
2 files, 2 KiB of at most 1.0 MiB, in '/cache'
";
        assert_eq!(table, expected);
    }
}
