//! Versions of engines.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::engine::Engine;
use crate::files::root::Root;

/// The first three numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The first version in a text, such as "containerd github.com/… v2.1.9+unknown 8c…".
    pub fn find(text: &str) -> Option<Self> {
        text.split(|character: char| character.is_whitespace() || character == ',').find_map(Self::parse)
    }

    /// "2.1.9", "v1.7.24~ds1", "28.5.2+dfsg4", "6.12".
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let number = |text: &str| {
            let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
            text[..end].parse().ok()
        };
        let major = numbers.next()?.parse().ok()?;
        let minor = number(numbers.next()?)?;
        Some(Self(major, minor, numbers.next().and_then(number).unwrap_or(0)))
    }
}

/// Versions that were given on the command line, before those that are found.
pub type Given = Vec<(Engine, Version)>;

/// The version of the engine's containerd, or of Docker itself. The error says why it is
/// unknown.
pub fn of(engine: Engine, root: &Root, given: &Given) -> Result<Version, String> {
    if let Some((_, version)) = given.iter().find(|(of, _)| *of == engine) {
        return Ok(*version);
    }
    let program = match engine {
        Engine::Docker => engine.program(root),
        _ => engine.containerd(root),
    };
    let program = program.ok_or_else(|| "its program was not found".to_owned())?;
    ask(&root.at(&program))
}

/// What `program --version` says.
fn ask(program: &Path) -> Result<Version, String> {
    let shown = program.display();
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot execute '{shown}': {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::find(&text).ok_or_else(|| format!("'{shown} --version' says '{}'", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, version) in [
            (
                "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3",
                Version(1, 6, 20),
            ),
            (
                "containerd github.com/containerd/containerd v1.7.13 7c3aca7a610df76212171d200ca3811ff6096eb8",
                Version(1, 7, 13),
            ),
            ("containerd github.com/k3s-io/containerd v2.1.5-k3s1 abc", Version(2, 1, 5)),
            ("containerd github.com/containerd/containerd/v2 2.1.9+unknown ", Version(2, 1, 9)),
            ("Docker version 28.5.2+dfsg4, build 3ef3c07", Version(28, 5, 2)),
            ("6.12.34+rpt-rpi-v8", Version(6, 12, 34)),
            ("5.10-rc1", Version(5, 10, 0)),
        ] {
            assert_eq!(Version::find(text), Some(version), "{text}");
        }
        assert_eq!(Version::find("no version here"), None);
    }
}
