//! An image's name, read as Docker reads it.

use std::fmt;
use std::str::FromStr;

use anyhow::{bail, ensure};

/// The longest name that registries take, without the tag.
const LONGEST_NAME: usize = 255;
/// The longest tag.
const LONGEST_TAG: usize = 128;

/// A fully qualified name: registry, path and tag.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageName {
    domain: String,
    path: String,
    tag: String,
}

impl ImageName {
    /// The tag alone.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name as `docker images` shows it, without what Docker would add.
    pub fn familiar(&self) -> String {
        let path = match self.domain.as_str() {
            "docker.io" => self.path.strip_prefix("library/").unwrap_or(&self.path),
            domain => return format!("{domain}/{}:{}", self.path, self.tag),
        };
        format!("{path}:{}", self.tag)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.domain, self.path, self.tag)
    }
}

impl FromStr for ImageName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        ensure!(
            !text.contains('@'),
            "--tag {text:?}: a digest is the result of packing, not a name; leave out `@…`"
        );
        let (domain, rest) = split_domain(text);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, tag),
            None => (rest, "latest"),
        };
        ensure!(
            is_tag(tag),
            "--tag {text:?}: the tag {tag:?} may hold letters, digits, `_`, `.` and `-`, \
             at most {LONGEST_TAG}, and begins with none of `.` and `-`"
        );
        ensure!(
            is_domain(domain),
            "--tag {text:?}: {domain:?} is not a registry's host name with an optional port"
        );
        for component in path.split('/') {
            if !is_component(component) {
                bail!(
                    "--tag {text:?}: {component:?} may hold small letters and digits, \
                     with single `.`, `_` or `-` between them"
                );
            }
        }
        let library = domain == "docker.io" && !path.contains('/');
        let name = Self {
            domain: domain.to_owned(),
            path: if library { format!("library/{path}") } else { path.to_owned() },
            tag: tag.to_owned(),
        };
        ensure!(
            name.domain.len() + 1 + name.path.len() <= LONGEST_NAME,
            "--tag: the name is longer than {LONGEST_NAME} characters"
        );
        Ok(name)
    }
}

/// The first component is a registry only if it looks like a host; everything
/// else is a path on Docker Hub.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("index.docker.io", rest)) => ("docker.io", rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => ("docker.io", text),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Runs of small letters and digits, separated by `.`, `_`, `__` or any number
/// of `-`.
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(word).filter(|separator| !separator.is_empty());
    text.starts_with(word)
        && text.ends_with(word)
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    text.len() <= LONGEST_TAG
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    #[test]
    fn a_name_is_completed_as_docker_completes_it() {
        for (text, full, familiar) in [
            ("site", "docker.io/library/site:latest", "site:latest"),
            ("site:1.2", "docker.io/library/site:1.2", "site:1.2"),
            ("me/site", "docker.io/me/site:latest", "me/site:latest"),
            ("docker.io/me/site", "docker.io/me/site:latest", "me/site:latest"),
            ("index.docker.io/site", "docker.io/library/site:latest", "site:latest"),
            ("localhost/site", "localhost/site:latest", "localhost/site:latest"),
            ("pi.local:5000/a/b:v1", "pi.local:5000/a/b:v1", "pi.local:5000/a/b:v1"),
            ("ghcr.io/a--b/c__d.e_f:X", "ghcr.io/a--b/c__d.e_f:X", "ghcr.io/a--b/c__d.e_f:X"),
        ] {
            let name: ImageName = text.parse().expect(text);
            assert_eq!(name.to_string(), full);
            assert_eq!(name.familiar(), familiar);
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_its_text() {
        for text in [
            "",
            "Site",
            "a//b",
            "/a",
            "a/",
            "site:",
            "site:.x",
            "site:a b",
            "-a",
            "a-",
            "a..b",
            "a.-b",
            "site@sha256:00",
            "ho st.x/a",
            "x.y:port/a",
            ".x/a",
        ] {
            let error = text.parse::<ImageName>().expect_err(text).to_string();
            assert!(error.contains("--tag"), "{text}: {error}");
        }
        assert!(format!("a:{}", "x".repeat(129)).parse::<ImageName>().is_err());
        assert!("a/".repeat(130).trim_end_matches('/').parse::<ImageName>().is_err());
    }
}
