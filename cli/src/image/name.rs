//! An image's name, read as Docker reads it.

use std::fmt;

use anyhow::{anyhow, ensure};
use oci_spec::distribution::Reference;

/// A fully qualified name: registry, path and tag.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageName(Reference);

impl ImageName {
    /// The name as the registry's client takes it.
    pub fn reference(&self) -> &Reference {
        &self.0
    }

    /// The tag alone.
    pub fn tag(&self) -> &str {
        // Parsing adds `latest` where there is none.
        self.0.tag().unwrap_or_default()
    }

    /// The name as `docker images` shows it, without the parts that Docker adds.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").map(|path| path.strip_prefix("library/").unwrap_or(path));
        short.unwrap_or(&full).to_owned()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ImageName {
    /// Reads a name; `option` is what stands before it on the command line.
    pub fn parse(option: &str, text: &str) -> anyhow::Result<Self> {
        const EXPECTED: &str = "expected [HOST[:PORT]/]PATH[:TAG], such as me/site:1.2: the path in lowercase letters \
                                and digits with single `.`, `_` or `-` between them, the tag in at most 128 letters, \
                                digits, `_`, `.` and `-`";
        ensure!(
            !text.contains('@'),
            "{option}{text:?}: a digest is what an image turns out to have, not a name; leave out `@…`"
        );
        let name: Reference =
            text.parse().map_err(|error| anyhow!("{option}{text:?}: {error}; {EXPECTED}"))?;
        // The parser accepts more than registries do: letters of any script in a tag, and capitals at the
        // beginning of a path, where a host name could be.
        let capitals = name.repository().contains(|c: char| c.is_ascii_uppercase());
        ensure!(text.is_ascii() && !capitals, "{option}{text:?}: invalid reference format; {EXPECTED}");
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    #[test]
    fn a_name_is_completed_as_docker_does_it() {
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
            let name: ImageName = ImageName::parse("--tag ", text).expect(text);
            assert_eq!(name.to_string(), full);
            assert_eq!(name.familiar(), familiar);
        }
    }

    #[test]
    fn a_bad_name_is_refused_and_the_option_is_named() {
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
            "site:é",
            "Me/site",
            "a:\n",
            "ho st.x/a",
            "x.y:port/a",
            ".x/a",
        ] {
            let error = ImageName::parse("--tag ", text).expect_err(text).to_string();
            assert!(error.contains("--tag"), "{text}: {error}");
        }
        assert!(ImageName::parse("", &format!("a:{}", "x".repeat(129))).is_err());
        assert!(ImageName::parse("", "a/".repeat(130).trim_end_matches("/")).is_err());
    }
}
