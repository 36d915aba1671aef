//! An index of the site's static files.
//!
//! It is made at the start. A path that is not in it is looked for in the directory, where
//! somebody may have put a file since; that costs one system call for each page.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;

use super::content_hash::{Evidence, has_hash};
use super::directory::{Directory, Entry};
use super::manifest;
use super::media_type::media_type;
use super::template;
use super::variant::Variant;
use crate::error::ServeError;

/// The page at the root, if it is a file.
const ROOT_INDEX: &str = "/index.html";

/// Content codings of compressed siblings, best first, with their file extensions.
const CODINGS: [(&str, &str); 3] = [("br", "br"), ("zstd", "zst"), ("gzip", "gz")];

/// Where Vite puts files whose names have a hash.
pub const HASHED_FILES: &str = "/assets/";

/// An asset: a file, its compressed siblings and its media type.
#[derive(Debug)]
pub struct Asset {
    /// The file itself, then its compressed siblings, best first.
    pub variants: Vec<Variant>,
    /// The media type.
    pub media_type: HeaderValue,
    /// Whether its name has a hash of the content, so that it never changes.
    pub has_hash: bool,
}

/// All assets by their decoded paths, which begin with a slash.
#[derive(Debug, Default)]
pub struct Assets {
    directory: Option<Arc<Directory>>,
    by_path: RwLock<HashMap<String, Arc<Asset>>>,
    /// The files that the build lists.
    listed: HashSet<String>,
    /// Whether the root's index.html is a template for pages.
    has_template: bool,
}

/// What a request's path names among the assets.
#[derive(Debug)]
pub enum Found {
    /// An asset.
    Asset(Arc<Asset>),
    /// A directory with an index page, without the final slash.
    Directory,
    /// Nothing.
    Nothing,
}

impl Assets {
    /// Indexes the directory `root`. Skips hidden files except `.well-known`, and symbolic
    /// links that lead out of it.
    pub fn index(root: &Path) -> Result<Self, ServeError> {
        let error =
            |source| ServeError::Read { what: "the directory of assets", path: root.to_owned(), source };
        let directory = Arc::new(Directory::open(root).map_err(error)?);
        let mut names = HashSet::new();
        collect(&directory.path, &directory.path, "", &mut names).map_err(error)?;
        let mut assets = Self {
            directory: Some(Arc::clone(&directory)),
            listed: manifest::listed(&directory),
            ..Self::default()
        };
        let mut by_path = HashMap::new();
        for name in &names {
            if is_sibling(name, |file| names.contains(file)) {
                continue;
            }
            let asset = assets.asset(&directory, name, |sibling| names.contains(sibling));
            if name == ROOT_INDEX && template::is_template(&asset.variants[0].read()?) {
                assets.has_template = true;
                continue;
            }
            by_path.insert(name.clone(), Arc::new(asset));
        }
        assets.by_path = RwLock::new(by_path);
        Ok(assets)
    }

    /// The asset of a file, with those of its siblings that exist.
    fn asset(&self, directory: &Arc<Directory>, name: &str, exists: impl Fn(&str) -> bool) -> Asset {
        let variant = |ending: &str, coding| {
            let path = PathBuf::from(format!("{}{ending}", name.trim_start_matches('/')));
            Variant::new(directory, path, coding)
        };
        let file = variant("", None);
        let media_type = media_type(file.path());
        let siblings = CODINGS.into_iter().filter_map(|(coding, ending)| {
            let ending = format!(".{ending}");
            exists(&format!("{name}{ending}")).then(|| variant(&ending, Some(coding)))
        });
        let evidence = match name {
            name if self.lists(name) => Evidence::Listed,
            name if name.contains(HASHED_FILES) => Evidence::Expected,
            _ => Evidence::NameOnly,
        };
        let variants = std::iter::once(file).chain(siblings).collect();
        Asset { variants, media_type, has_hash: has_hash(name, evidence) }
    }

    /// Whether the build lists a file. Its list has no base, below which the file may lie.
    fn lists(&self, name: &str) -> bool {
        let parts = name.match_indices('/').map(|(place, _)| &name[place..]);
        !self.listed.is_empty() && parts.into_iter().any(|part| self.listed.contains(part))
    }

    /// Finds what `path`, percent-encoded as in a URL, names.
    pub fn find(&self, path: &str) -> Found {
        let Ok(path) = percent_decode_str(path).decode_utf8() else { return Found::Nothing };
        if let Some(asset) = self.known(&path) {
            return Found::Asset(asset);
        }
        if let Some(directory) = path.strip_suffix('/') {
            let index = format!("{directory}/index.html");
            let found = self.known(&index).or_else(|| self.discover(&index));
            return found.map_or(Found::Nothing, Found::Asset);
        }
        let index = format!("{path}/index.html");
        if self.known(&index).is_some() {
            return Found::Directory;
        }
        match self.look(&path) {
            Some(Entry::File) => self.add(&path).map_or(Found::Nothing, Found::Asset),
            Some(Entry::Directory) if self.discover(&index).is_some() => Found::Directory,
            _ => Found::Nothing,
        }
    }

    /// Forgets a file that does not exist any more, which may come back.
    pub fn forget(&self, path: &str) {
        let Ok(path) = percent_decode_str(path).decode_utf8() else { return };
        let mut by_path = self.by_path.write();
        if by_path.remove(&*path).is_none() {
            by_path.remove(&format!("{}/index.html", path.trim_end_matches('/')));
        }
    }

    fn known(&self, name: &str) -> Option<Arc<Asset>> {
        self.by_path.read().get(name).cloned()
    }

    /// What is there now, whoever put it there. Names that a site does not show are nothing.
    fn look(&self, name: &str) -> Option<Entry> {
        let directory = self.directory.as_ref()?;
        let below = name.strip_prefix('/')?;
        // Each file has one path: no `//`, `.` or `..`, and nothing hidden.
        let shown = |part: &str| !part.is_empty() && (!part.starts_with('.') || part == ".well-known");
        below.split('/').all(shown).then(|| directory.look(Path::new(below)))?
    }

    /// Adds a file that was not there at the start, if there is one.
    fn discover(&self, name: &str) -> Option<Arc<Asset>> {
        self.is_file(name).then(|| self.add(name))?
    }

    /// Adds a file that is there, unless it is no asset of its own.
    fn add(&self, name: &str) -> Option<Arc<Asset>> {
        let is_template = name == ROOT_INDEX && self.has_template;
        if is_template || is_sibling(name, |file| self.is_file(file)) {
            return None;
        }
        let directory = self.directory.as_ref()?;
        if !directory.is_direct(Path::new(name.trim_start_matches('/'))) {
            return None;
        }
        let asset = Arc::new(self.asset(directory, name, |file| self.is_file(file)));
        self.by_path.write().insert(name.to_owned(), Arc::clone(&asset));
        Some(asset)
    }

    fn is_file(&self, name: &str) -> bool {
        self.look(name) == Some(Entry::File)
    }
}

/// Whether a file is the compressed form of another that exists.
fn is_sibling(name: &str, exists: impl Fn(&str) -> bool) -> bool {
    CODINGS.iter().any(|(_, ending)| {
        let file = name.strip_suffix(ending).and_then(|rest| rest.strip_suffix('.'));
        file.is_some_and(&exists)
    })
}

/// Collects the paths of the files below `directory`: below `base`, with a slash at the
/// front.
fn collect(base: &Path, directory: &Path, prefix: &str, files: &mut HashSet<String>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            log::warn!("assets: skipping {}: its name is not UTF-8", entry.path().display());
            continue;
        };
        if name.starts_with('.') && name != ".well-known" {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_symlink()
            && !fs::canonicalize(&path).is_ok_and(|target| target.starts_with(base))
        {
            log::warn!(
                "assets: skipping {}: the link is broken or leads out of the directory",
                path.display()
            );
            continue;
        }
        let kind = fs::metadata(&path)?;
        let name = format!("{prefix}/{name}");
        if kind.is_dir() {
            // A link to a parent directory would never end.
            if entry.file_type()?.is_symlink() {
                log::warn!("assets: skipping {}: links to directories are not followed", path.display());
                continue;
            }
            collect(base, &path, &name, files)?;
        } else if kind.is_file() {
            files.insert(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Assets) {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let assets = Assets::index(root.path()).unwrap();
        (root, assets)
    }

    fn is_asset(assets: &Assets, path: &str) -> bool {
        matches!(assets.find(path), Found::Asset(_))
    }

    #[test]
    fn files_are_found_by_their_decoded_paths_and_nothing_else_is_found() {
        let (_root, assets) =
            tree(&[("a b.txt", ""), ("über/x.js", ""), (".env", ""), (".well-known/x", "")]);
        assert!(is_asset(&assets, "/a%20b.txt"));
        assert!(is_asset(&assets, "/%C3%BCber/x.js"));
        assert!(is_asset(&assets, "/.well-known/x"));
        for path in
            ["/.env", "/../a b.txt", "/%2e%2e/etc/passwd", "//a%20b.txt", "/%ff", "", "/", "/a%20b.txt/"]
        {
            assert!(!is_asset(&assets, path), "{path}");
        }
    }

    #[test]
    fn an_index_page_is_served_for_its_directory_and_a_template_is_not() {
        let (_root, assets) = tree(&[
            ("index.html", "<div><!-- app-html --></div>"),
            ("docs/index.html", "<p>"),
            ("docs/a.html", ""),
        ]);
        assert!(is_asset(&assets, "/docs/"));
        assert!(matches!(assets.find("/docs"), Found::Directory));
        assert!(!is_asset(&assets, "/"));
        assert!(!is_asset(&assets, "/index.html"));
        let (_root, assets) = tree(&[("index.html", "<p>static</p>")]);
        assert!(is_asset(&assets, "/"));
        // A client build's shell, and pages that are complete.
        let page = |body: &str| {
            format!(
                "<!doctype html><html><head><title>x</title><script src=/a.js></script></head><body>{body}</body></html>"
            )
        };
        for (body, is_page) in [
            ("<div id=\"app\"></div>\n<script type=\"module\">let x = 1</script>", false),
            ("<noscript>You need JavaScript</noscript><div id=root></div>", false),
            ("<div id=app><h1>Prerendered</h1></div><script src=/b.js></script>", true),
            ("<div id=app><img src=/a.png></div>", true),
        ] {
            let (_root, assets) = tree(&[("index.html", &page(body)), ("app/index.html", &page(body))]);
            assert_eq!(is_asset(&assets, "/"), is_page, "{body}");
            // Elsewhere it may be a client's own application.
            assert!(is_asset(&assets, "/app/"));
        }
    }

    #[test]
    fn links_out_of_the_directory_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("in.txt"), "").unwrap();
        std::os::unix::fs::symlink("in.txt", root.path().join("link.txt")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out.txt")).unwrap();
        std::os::unix::fs::symlink("..", root.path().join("loop")).unwrap();
        let assets = Assets::index(root.path()).unwrap();
        assert!(is_asset(&assets, "/link.txt"));
        assert!(!is_asset(&assets, "/out.txt"));
        assert_eq!(assets.by_path.read().len(), 2);
    }

    #[test]
    fn compressed_siblings_belong_to_their_file_and_lone_ones_are_files() {
        let (_root, assets) = tree(&[("a.js", "x"), ("a.js.gz", "g"), ("a.js.br", "b"), ("lone.gz", "")]);
        let Found::Asset(asset) = assets.find("/a.js") else { panic!("no asset") };
        let codings: Vec<_> = asset.variants.iter().map(|variant| variant.coding).collect();
        assert_eq!(codings, [None, Some("br"), Some("gzip")]);
        assert!(!is_asset(&assets, "/a.js.gz"));
        assert!(is_asset(&assets, "/lone.gz"));
    }

    #[test]
    fn tags_follow_the_content() {
        let (root, assets) = tree(&[("a", "same"), ("b", "same"), ("c", "else")]);
        let tag = |path| match assets.find(path) {
            Found::Asset(asset) => {
                let file = &asset.variants[0];
                let (content, metadata) = file.open().unwrap();
                file.tag(&content, &metadata).unwrap()
            }
            _ => panic!("no asset"),
        };
        assert_eq!(tag("/a"), tag("/b"));
        assert_ne!(tag("/a"), tag("/c"));
        // As a volume is updated: another file of the same size is renamed over the first.
        fs::write(root.path().join("new"), "else").unwrap();
        fs::rename(root.path().join("new"), root.path().join("a")).unwrap();
        assert_eq!(tag("/a"), tag("/c"));
    }

    #[test]
    fn files_that_come_later_are_found_and_hidden_ones_are_not() {
        let (root, assets) = tree(&[("index.html", "<!--app-html-->"), ("a.txt", "")]);
        for name in ["new.txt", "new.txt.gz", "docs/index.html", ".env", ".well-known/x", "docs/.hidden/x"] {
            assert!(!is_asset(&assets, &format!("/{name}")), "{name}");
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "new").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out")).unwrap();
        std::os::unix::fs::symlink(".", root.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("docs/.hidden", root.path().join("shown")).unwrap();
        std::os::unix::fs::symlink("docs/index.html", root.path().join("link.html")).unwrap();
        let Found::Asset(asset) = assets.find("/new.txt") else { panic!("no asset") };
        assert_eq!(asset.variants.len(), 2);
        assert!(is_asset(&assets, "/docs/") && is_asset(&assets, "/.well-known/x"));
        assert!(matches!(assets.find("/docs"), Found::Directory));
        assert!(is_asset(&assets, "/link.html"));
        for linked in ["/loop/new.txt", "/loop/loop/new.txt", "/shown/x", "/loop/docs/"] {
            assert!(!is_asset(&assets, linked), "{linked}");
        }
        assert!(!matches!(assets.find("/loop/docs"), Found::Directory));
        for hidden in
            ["/.env", "/docs/.hidden/x", "/out", "//new.txt", "/docs/../new.txt", "/", "/index.html"]
        {
            assert!(!is_asset(&assets, hidden), "{hidden}");
        }
        fs::remove_file(root.path().join("a.txt")).unwrap();
        assets.forget("/a.txt");
        assert!(!is_asset(&assets, "/a.txt"));
    }

    #[test]
    fn names_with_a_hash_are_told_by_the_build_or_by_their_place() {
        let manifest =
            r#"{"src/a.js":{"file":"js/a-abcdefgh.js","css":["css/b-hgfedcba.css"],"isEntry":true}}"#;
        let (_root, assets) = tree(&[
            (".vite/manifest.json", manifest),
            ("js/a-abcdefgh.js", ""),
            ("base/js/a-abcdefgh.js", ""),
            ("css/b-hgfedcba.css", ""),
            ("js/c-abcdefgh.js", ""),
            ("assets/d-Bk3xR_2a.js", ""),
            ("assets/d.js", ""),
        ]);
        let has_hash = |path| match assets.find(path) {
            Found::Asset(asset) => asset.has_hash,
            _ => panic!("no asset"),
        };
        for path in
            ["/js/a-abcdefgh.js", "/base/js/a-abcdefgh.js", "/css/b-hgfedcba.css", "/assets/d-Bk3xR_2a.js"]
        {
            assert!(has_hash(path), "{path}");
        }
        for path in ["/js/c-abcdefgh.js", "/assets/d.js"] {
            assert!(!has_hash(path), "{path}");
        }
        assert!(!is_asset(&assets, "/.vite/manifest.json"));
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = Assets::index(Path::new("/nonexistent/dist")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the directory of assets '/nonexistent/dist': No such file or directory (os error 2)"
        );
        assert_eq!(error.exit_code(), 66);
    }
}
