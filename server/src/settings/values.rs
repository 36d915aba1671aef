//! The kinds of values that settings have, and how people write them.

use std::time::Duration;

/// What [`duration`] accepts.
pub const DURATION: &str = "a duration longer than zero and at most a year, such as 500ms, 10s or 2m";
pub const DURATION_OR_NONE: &str = "0 or a duration of at most a year, such as 500ms, 3s or 2m";
/// What [`size`] accepts.
pub const SIZE: &str = "a size in bytes, such as 65536, 512KiB or 64MiB";
/// What [`header_size`] accepts.
pub const HEADER_SIZE: &str = "a size in bytes from 8KiB to 1MiB, such as 16KiB or 64KiB";
/// What [`count`] accepts.
pub const COUNT: &str = "a whole number, at least 1";

/// A number of things.
pub fn count(value: &str) -> Option<usize> {
    value.parse().ok().filter(|&count| count > 0)
}

/// A time limit: at most a year, so that a deadline is a time that the system can express.
pub fn duration(value: &str) -> Option<Duration> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    humantime::parse_duration(value).ok().filter(|time| !time.is_zero() && *time <= YEAR)
}

/// A time, which may be none.
pub fn duration_or_none(value: &str) -> Option<Duration> {
    if matches!(value, "0" | "0s") { Some(Duration::ZERO) } else { duration(value) }
}

/// A number of bytes.
pub fn size(value: &str) -> Option<usize> {
    let bytes: bytesize::ByteSize = value.parse().ok()?;
    usize::try_from(bytes.as_u64()).ok().filter(|&bytes| bytes > 0)
}

/// A limit for heads: hyper reads at least 8 KiB at once.
pub fn header_size(value: &str) -> Option<usize> {
    size(value).filter(|bytes| (8 << 10..=1 << 20).contains(bytes))
}

/// Which assets never change, so that they are cached for a year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Immutable {
    /// Those whose names have a hash of the content.
    ByName,
    /// None.
    Nothing,
    /// Those below a path, which begins and ends with a slash.
    Below(String),
}

impl Immutable {
    /// Whether the file at `path` is one of them; `by_name` says whether its name has a hash.
    pub fn covers(&self, path: &str, by_name: impl FnOnce() -> bool) -> bool {
        match self {
            Self::ByName => by_name(),
            Self::Nothing => false,
            Self::Below(prefix) => path.starts_with(prefix),
        }
    }
}

pub fn immutable(value: &str) -> Option<Immutable> {
    match value {
        "auto" => Some(Immutable::ByName),
        "none" => Some(Immutable::Nothing),
        path if path.starts_with('/') && path.ends_with('/') => Some(Immutable::Below(path.to_owned())),
        _ => None,
    }
}

/// What answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestForm {
    /// What the module says that it is.
    Auto,
    /// A program with CGI's variables.
    Wagi,
    /// A program that reads JSON.
    Javy,
}

pub fn guest_form(value: &str) -> Option<GuestForm> {
    match value {
        "auto" => Some(GuestForm::Auto),
        "wagi" => Some(GuestForm::Wagi),
        "javy" => Some(GuestForm::Javy),
        _ => None,
    }
}

/// On or off.
pub fn switch(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
