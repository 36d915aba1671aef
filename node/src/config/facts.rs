//! What a configuration file of containerd says, as far as it matters for a runtime.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

use crate::error::NodeError;
use crate::shim::SHIM;

/// The name of our runtime, which a RuntimeClass has as its handler.
pub const RUNTIME: &str = "ssr";

/// What containerd calls our shim.
pub const RUNTIME_TYPE: &str = "io.containerd.ssr.v1";

/// What containerd calls runc's.
pub const RUNC_TYPE: &str = "io.containerd.runc.v2";

/// How a file names the plugins of CRI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// A file without a version, in containerd 1: one short name.
    V1,
    /// Version 2: one plugin.
    V2,
    /// Version 3 and later: a plugin for the runtimes and one for the images.
    V3,
}

impl Names {
    /// The key of the plugin that has the runtimes, as it is written in TOML.
    pub fn runtimes(self) -> &'static str {
        match self {
            Self::V1 => "cri",
            Self::V2 => "\"io.containerd.grpc.v1.cri\"",
            Self::V3 => "'io.containerd.cri.v1.runtime'",
        }
    }
}

/// The plugins that can have runtimes.
const RUNTIME_PLUGINS: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];

/// The plugin that pulls images for CRI, since containerd 2.
pub const IMAGES_PLUGIN: &str = "io.containerd.cri.v1.images";

/// Whether CRI pulls images by itself instead of through containerd's transfer service.
pub const LOCAL_PULL: &str = "use_local_image_pull";

/// A runtime's settings. Ours takes over how the one beside it treats cgroups and images, and
/// its program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeFacts {
    /// `runtime_type`; [`RUNTIME_TYPE`] if `runtime_path` leads to our shim, whatever the type is.
    pub runtime_type: Option<String>,
    /// `runtime_path`.
    pub path: Option<PathBuf>,
    /// `SystemdCgroup` of its options.
    pub systemd_cgroup: Option<bool>,
    /// `snapshotter`.
    pub snapshotter: Option<String>,
    /// `BinaryName` of its options.
    pub binary: Option<String>,
}

/// Where [`LOCAL_PULL`] is or could be in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalPull {
    /// It is true.
    On,
    /// It is false, at this byte.
    Off(usize),
    /// Its table is there without it; this byte is in the line of the table's header.
    InTable(usize),
    /// There is no such table.
    NoTable,
    /// The table is written in a form that cannot be added to.
    OtherForm,
}

/// A parsed file.
#[derive(Debug)]
pub struct Facts(Document<String>);

impl Facts {
    /// Parses the text of `path`, which is for errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, NodeError> {
        Document::parse(text.to_owned()).map(Self).map_err(|error| {
            let (line, column) = position(text, error.span());
            let reason = error.message().trim().to_owned();
            NodeError::Syntax { path: path.to_owned(), line, column, reason }
        })
    }

    /// `version`. Without one it is a file of the first version.
    pub fn version(&self) -> Option<i64> {
        self.0.get("version").and_then(Item::as_integer).filter(|version| *version > 1)
    }

    /// `imports`.
    pub fn imports(&self) -> Vec<String> {
        strings(self.0.get("imports"))
    }

    /// Whether CRI is turned off, as Docker's package of containerd does.
    pub fn is_cri_disabled(&self) -> bool {
        let disabled = strings(self.0.get("disabled_plugins"));
        disabled.iter().any(|plugin| {
            matches!(plugin.as_str(), "cri" | "io.containerd.grpc.v1.cri" | "io.containerd.cri.v1.runtime")
        })
    }

    /// A runtime of CRI, if it is configured under any of the names of the plugin.
    pub fn runtime(&self, name: &str) -> Option<RuntimeFacts> {
        let mut found: Option<RuntimeFacts> = None;
        for plugin in RUNTIME_PLUGINS {
            let Some(runtime) = self.table(&["plugins", plugin, "containerd", "runtimes", name]) else {
                continue;
            };
            let options = runtime.get("options").and_then(Item::as_table_like);
            let text = |item: Option<&Item>| {
                item.and_then(Item::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
            };
            let facts = found.get_or_insert_default();
            let path = text(runtime.get("runtime_path")).map(PathBuf::from);
            let kind = match path.as_deref().and_then(Path::file_name) {
                Some(file) if file == SHIM => Some(RUNTIME_TYPE.to_owned()),
                _ => text(runtime.get("runtime_type")),
            };
            facts.runtime_type = facts.runtime_type.take().or(kind);
            facts.path = facts.path.take().or(path);
            facts.snapshotter = facts.snapshotter.take().or_else(|| text(runtime.get("snapshotter")));
            if let Some(options) = options {
                let systemd = options.get("SystemdCgroup").and_then(Item::as_bool);
                facts.systemd_cgroup = facts.systemd_cgroup.or(systemd);
                facts.binary = facts.binary.take().or_else(|| text(options.get("BinaryName")));
            }
        }
        found
    }

    /// Whether the file configures any runtime of CRI.
    pub fn has_runtimes(&self) -> bool {
        let mut tables = RUNTIME_PLUGINS
            .iter()
            .filter_map(|plugin| self.table(&["plugins", plugin, "containerd", "runtimes"]));
        tables.any(|runtimes| !runtimes.is_empty())
    }

    /// The runtime that ours resembles: `runc`, or else the default one.
    pub fn neighbour(&self) -> RuntimeFacts {
        let default = || {
            RUNTIME_PLUGINS.iter().find_map(|plugin| {
                let containerd = self.table(&["plugins", plugin, "containerd"])?;
                self.runtime(containerd.get("default_runtime_name")?.as_str()?)
            })
        };
        self.runtime("runc").or_else(default).unwrap_or_default()
    }

    /// Where [`LOCAL_PULL`] is.
    pub fn local_pull(&self) -> LocalPull {
        let Some(plugins) = self.0.get("plugins").and_then(Item::as_table_like) else {
            return match self.0.get("plugins") {
                None => LocalPull::NoTable,
                Some(_) => LocalPull::OtherForm,
            };
        };
        let Some(item) = plugins.get(IMAGES_PLUGIN) else {
            return if plugins.is_dotted() || !self.has_standard("plugins") {
                LocalPull::OtherForm
            } else {
                LocalPull::NoTable
            };
        };
        let value = item.as_table_like().and_then(|table| table.get(LOCAL_PULL));
        if value.and_then(Item::as_bool) == Some(true) {
            return LocalPull::On;
        }
        let Some(table) = item.as_table().filter(|table| !table.is_dotted()) else {
            return LocalPull::OtherForm;
        };
        match (value, table.span()) {
            (Some(value), _) => value.span().map_or(LocalPull::OtherForm, |span| LocalPull::Off(span.start)),
            (None, _) if table.is_implicit() => LocalPull::NoTable,
            (None, Some(header)) => LocalPull::InTable(header.start),
            (None, None) => LocalPull::OtherForm,
        }
    }

    fn has_standard(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(Item::is_table)
    }

    fn table(&self, path: &[&str]) -> Option<&dyn TableLike> {
        let mut table: &dyn TableLike = self.0.as_table();
        for key in path {
            table = table.get(key)?.as_table_like()?;
        }
        Some(table)
    }
}

fn strings(item: Option<&Item>) -> Vec<String> {
    let values = item.and_then(Item::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// The line and column of a span's start, from 1.
fn position(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let at = span.map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Facts {
        Facts::parse(Path::new("config.toml"), text).unwrap()
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let error = Facts::parse(Path::new("/etc/x.toml"), "a = 1\nb = = 2\n").unwrap_err().to_string();
        assert!(error.starts_with("'/etc/x.toml', line 2, column 5: "), "{error}");
        let error = Facts::parse(Path::new("x"), "[a]\n[a]\n").unwrap_err().to_string();
        assert!(error.contains("line 2, column 2"), "{error}");
    }

    #[test]
    fn settings_are_found_under_every_name_of_the_plugin() {
        for plugin in ["cri", "\"io.containerd.grpc.v1.cri\"", "'io.containerd.cri.v1.runtime'"] {
            let text = format!(
                "[plugins.{plugin}.containerd.runtimes.runc]\nsnapshotter = 'zfs'\noptions = {{ SystemdCgroup = true }}\n"
            );
            let runc = facts(&text).neighbour();
            assert_eq!((runc.systemd_cgroup, runc.snapshotter.as_deref()), (Some(true), Some("zfs")));
        }
        let other =
            "[plugins.cri.containerd]\ndefault_runtime_name = 'x'\nruntimes.x.options.SystemdCgroup = true\n";
        assert_eq!(facts(other).neighbour().systemd_cgroup, Some(true));
        assert_eq!(facts("").neighbour(), RuntimeFacts::default());
    }

    #[test]
    fn a_path_to_our_shim_is_our_runtime_whatever_type_it_is_given() {
        let kind = |path: &str| {
            let table = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.ssr]";
            let runtime = format!(
                "version = 3\n{table}\nruntime_type = 'io.containerd.runc.v2'\nruntime_path = '{path}'"
            );
            facts(&runtime).runtime(RUNTIME).unwrap().runtime_type.unwrap()
        };
        assert_eq!(kind("/usr/local/bin/containerd-shim-ssr-v1"), RUNTIME_TYPE);
        assert_eq!(kind("/usr/bin/crun"), "io.containerd.runc.v2");
        assert_eq!(kind(""), "io.containerd.runc.v2");
    }

    #[test]
    fn the_place_of_the_pull_setting_is_found() {
        let images = format!("plugins.'{IMAGES_PLUGIN}'");
        let pull = |text: &str| facts(text).local_pull();
        assert_eq!(pull("version = 3"), LocalPull::NoTable);
        assert_eq!(pull(&format!("[{images}.registry]\nx = 1")), LocalPull::NoTable);
        assert_eq!(pull(&format!("[{images}]\nuse_local_image_pull = true")), LocalPull::On);
        let off = format!("[{images}]\nuse_local_image_pull = false");
        assert_eq!(pull(&off), LocalPull::Off(off.find("false").unwrap()));
        let without = format!("a = 1\n[{images}]\nx = 1");
        let LocalPull::InTable(at) = pull(&without) else { panic!("{:?}", pull(&without)) };
        assert!((6..without.find("\nx").unwrap()).contains(&at), "{at}");
        assert_eq!(pull("[plugins]\n'io.containerd.cri.v1.images' = {}"), LocalPull::OtherForm);
        assert_eq!(pull("plugins = {}"), LocalPull::OtherForm);
    }
}
