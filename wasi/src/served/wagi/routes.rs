//! Which module answers at which path: modules.toml, and modules that tell their routes
//! themselves.

use std::collections::BTreeMap;

use serde::Deserialize;

use ssr_wasm::guests::snapshot::LoadError;

/// The end of a pattern that covers all paths below it.
const BELOW: &str = "/...";

/// The contents of modules.toml.
#[derive(Debug, Default, Deserialize)]
pub struct RouteTable {
    /// Its modules.
    #[serde(default, alias = "handler")]
    pub module: Vec<ModuleRoute>,
    /// What has no effect.
    #[serde(flatten)]
    pub ignored: BTreeMap<String, toml::Value>,
}

/// A module and where it answers.
#[derive(Debug, Clone, Deserialize)]
pub struct ModuleRoute {
    /// A path, or with `/...` at its end all paths below it.
    pub route: String,
    /// The module's file.
    pub module: String,
    /// The function to call instead of `_start`.
    pub entrypoint: Option<String>,
    /// Arguments, in which `${SCRIPT_NAME}` and `${ARGS}` are replaced.
    pub argv: Option<String>,
    /// The host to which the route belongs, as requests name it.
    pub host: Option<String>,
    /// Where the module finds which directories.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// Its own variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What has no effect.
    #[serde(flatten)]
    pub ignored: BTreeMap<String, toml::Value>,
}

impl Default for ModuleRoute {
    fn default() -> Self {
        Self {
            route: BELOW.to_owned(),
            module: String::new(),
            entrypoint: None,
            argv: None,
            host: None,
            volumes: BTreeMap::new(),
            environment: BTreeMap::new(),
            ignored: BTreeMap::new(),
        }
    }
}

/// What is wrong with modules.toml.
#[derive(Debug, thiserror::Error)]
pub enum RouteTableError {
    /// It is no such file.
    #[error("it cannot be parsed: {0}")]
    Parse(#[from] toml::de::Error),
    /// It has no modules.
    #[error("it has no [[module]]")]
    Empty,
    /// A route that no path can have.
    #[error("the route '{0}' does not begin with a slash")]
    Route(String),
    /// A module that is elsewhere.
    #[error("the module '{0}' is not a file: copy it into the image and name its path")]
    NotAFile(String),
}

/// Whether the head of a file is one of modules.toml's: its first line that says anything opens
/// a list of modules, or sets the default host.
pub fn is_route_table(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| {
        let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        line.starts_with("[[module]]") || line.starts_with("[[handler]]") || line.starts_with("default_host=")
    })
}

impl RouteTable {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, RouteTableError> {
        let mut table: Self = toml::from_str(text)?;
        if table.module.is_empty() {
            return Err(RouteTableError::Empty);
        }
        for entry in &mut table.module {
            if !entry.route.starts_with('/') {
                return Err(RouteTableError::Route(entry.route.clone()));
            }
            entry.module = file_of(&entry.module)?;
        }
        Ok(table)
    }

    /// What has no effect, by name.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        let known = |name: &&str| *name != "default_host";
        let of_modules = self.module.iter().flat_map(|entry| entry.ignored.keys());
        self.ignored.keys().chain(of_modules).map(String::as_str).filter(known)
    }
}

/// The path of a module reference.
fn file_of(reference: &str) -> Result<String, RouteTableError> {
    let path = reference.strip_prefix("file://").or_else(|| reference.strip_prefix("file:"));
    match (path, reference.split_once(':')) {
        (Some(path), _) => Ok(path.to_owned()),
        (None, Some((scheme, _))) if !scheme.contains('/') => {
            Err(RouteTableError::NotAFile(reference.to_owned()))
        }
        (None, _) => Ok(reference.to_owned()),
    }
}

/// The paths of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    path: String,
    below: bool,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Self {
        match text.strip_suffix(BELOW) {
            Some(path) => Self { path: path.to_owned(), below: true },
            None => Self { path: text.to_owned(), below: false },
        }
    }

    /// `/a/...` covers `/a`, `/a/` and `/a/b`, but not `/ab`.
    pub(super) fn covers(&self, path: &str) -> bool {
        match path.strip_prefix(&*self.path) {
            Some("") => true,
            Some(rest) => self.below && rest.starts_with('/'),
            None => false,
        }
    }

    /// Exact ones come before all others, and longer ones before shorter.
    pub(super) fn rank(&self) -> (bool, usize) {
        (!self.below, self.path.len())
    }

    /// A pattern of a module's own, below the one of its route.
    pub(super) fn join(&self, below: &Self) -> Self {
        let path = format!("{}/{}", self.path.trim_end_matches('/'), below.path.trim_start_matches('/'));
        Self { path, below: below.below }
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.path, if self.below { BELOW } else { "" })
    }

    /// The part of a path that led to the route, and the rest, as CGI's SCRIPT_NAME and
    /// PATH_INFO.
    pub(super) fn split<'a>(&'a self, path: &'a str) -> (&'a str, &'a str) {
        let script = if self.path.is_empty() { "/" } else { &self.path };
        (script, path.strip_prefix(&*self.path).unwrap_or_default())
    }
}

/// Routes and functions as a module prints them, `/path/... function` in each line.
pub(super) fn sub_routes(text: &str) -> Result<Vec<(Pattern, String)>, LoadError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let parse = |line: &str| match line.split_once(char::is_whitespace) {
        Some((route, function)) => Ok((Pattern::parse(route), function.trim().to_owned())),
        None => Err(LoadError::Module(format!(
            "its function _routes printed '{line}', where a route and a function were expected"
        ))),
    };
    lines.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_wagi_has_it() {
        let table = RouteTable::parse(
            r#"
            default_host = "example.com"
            [[module]]
            route = "/"
            module = "file:///hello.wat"
            [[module]]
            route = "/env/..."
            module = "env.wasm"
            entrypoint = "show"
            volumes = { "/data" = "/srv/data" }
            environment = { NAME = "value" }
            allowed_hosts = ["https://example.com"]
            "#,
        )
        .unwrap();
        assert_eq!(table.module[0].module, "/hello.wat");
        let env = &table.module[1];
        assert_eq!((env.module.as_str(), env.entrypoint.as_deref()), ("env.wasm", Some("show")));
        assert_eq!((&*env.volumes["/data"], &*env.environment["NAME"]), ("/srv/data", "value"));
        assert_eq!(table.ignored().collect::<Vec<_>>(), ["allowed_hosts"]);
        assert_eq!(RouteTable::parse("[[handler]]\nroute='/'\nmodule='a'").unwrap().module.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_named() {
        for (text, says) in [
            ("", "no [[module]]"),
            ("[[module]]\nroute = '/'", "missing field `module`"),
            ("[[module]]\nroute = 'a'\nmodule = 'm'", "'a' does not begin with a slash"),
            ("[[module]]\nroute = '/'\nmodule = 'oci:foo/bar:1'", "'oci:foo/bar:1' is not a file"),
            ("[[module]]\nroute = '/'\nmodule = 'bindle:foo/bar/1'", "is not a file"),
            ("[[module", "cannot be parsed"),
        ] {
            let error = RouteTable::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_table_is_known_by_its_first_lines() {
        for text in
            ["[[module]]\n", "# routes\n\n [[ module ]]\nroute", "default_host = 'x'\n", "[[handler]]"]
        {
            assert!(is_route_table(text.as_bytes()), "{text}");
        }
        for text in ["", "# nothing", "[package]\n[[module]]", "(module)", "\u{fffd}", "#!/bin/sh"] {
            assert!(!is_route_table(text.as_bytes()), "{text}");
        }
        assert!(!is_route_table(b"\0asm\x01\0\0\0"));
    }

    #[test]
    fn a_pattern_covers_its_path_and_with_dots_those_below() {
        let covers = |pattern: &str, path: &str| Pattern::parse(pattern).covers(path);
        assert!(covers("/a", "/a") && !covers("/a", "/a/") && !covers("/a", "/ab"));
        assert!(covers("/a/...", "/a") && covers("/a/...", "/a/b") && !covers("/a/...", "/ab"));
        assert!(covers("/...", "/") && covers("/...", "/a/b"));
        assert_eq!(Pattern::parse("/a/...").split("/a/b/c"), ("/a", "/b/c"));
        assert_eq!(Pattern::parse("/a").split("/a"), ("/a", ""));
        assert_eq!(Pattern::parse("/...").split("/x"), ("/", "/x"));
        let below = Pattern::parse("/a/...").join(&Pattern::parse("/b/..."));
        assert_eq!(below.text(), "/a/b/...");
    }

    #[test]
    fn a_module_tells_its_own_routes() {
        let routes = sub_routes("/hello hello\n\n/bye/...  goodbye\n").unwrap();
        let names: Vec<_> = routes.iter().map(|(pattern, name)| (pattern.text(), name.as_str())).collect();
        assert_eq!(names, [("/hello".to_owned(), "hello"), ("/bye/...".to_owned(), "goodbye")]);
        assert!(sub_routes("/hello").is_err());
    }
}
