//! What has to change in an engine's configuration. Nothing is written here.

mod containerd;
mod docker;
mod k3s;
mod microk8s;

use std::path::{Path, PathBuf};

use crate::config::block::{self, Stripped};
use crate::engine::Engine;
use crate::engine::version::Given;
use crate::error::NodeError;
use crate::files::record::Record;
use crate::files::root::Root;
use crate::shim;

pub use containerd::{CONTAINERD_2, TRANSFERS_IMAGES, drop_in_directory};
pub use docker::uses_snapshotter as docker_uses_snapshotter;

/// The files in which an installation can have left something, as their marks tell.
pub fn usual_files(engine: Engine) -> Vec<PathBuf> {
    match engine {
        Engine::Containerd => containerd::usual_files(),
        Engine::Docker => Vec::new(),
        Engine::K3s | Engine::Rke2 => k3s::usual_files(engine),
        Engine::Microk8s => microk8s::usual_files(),
    }
}

/// A file, as it is, as it was without us, and as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its absolute path.
    pub path: PathBuf,
    /// The text now; `None` if there is no file.
    pub now: Option<String>,
    /// The text without what is ours.
    pub before: Option<String>,
    /// The text that is wanted; `None` for no file.
    pub wanted: Option<String>,
}

impl Change {
    /// Whether there is something to do.
    pub fn is_needed(&self) -> bool {
        self.now != self.wanted
    }
}

/// What has to change for one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The engine.
    pub engine: Engine,
    /// The files.
    pub changes: Vec<Change>,
    /// Sentences for the person.
    pub notes: Vec<String>,
}

impl Plan {
    fn new(engine: Engine) -> Self {
        Self { engine, changes: Vec::new(), notes: Vec::new() }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The file system.
    pub root: &'a Root,
    /// What was changed before.
    pub record: &'a Record,
    /// Versions that need not be found.
    pub versions: &'a Given,
}

impl Node<'_> {
    /// What an engine needs to have the runtime.
    pub fn plan(&self, engine: Engine) -> Result<Plan, NodeError> {
        let mut plan = match engine {
            Engine::Containerd => containerd::plan(self),
            Engine::Docker => docker::plan(self),
            Engine::K3s | Engine::Rke2 => k3s::plan(self, engine),
            Engine::Microk8s => microk8s::plan(self),
        }?;
        // Files of an earlier installation that this version of the engine does not need.
        for path in self.record.files_of(engine.name()) {
            if plan.changes.iter().all(|change| change.path != path) {
                plan.changes.push(self.removal(engine, &path)?);
            }
        }
        Ok(plan)
    }

    /// What an engine needs to be as it was.
    pub fn removal_plan(&self, engine: Engine) -> Result<Plan, NodeError> {
        let mut plan = Plan::new(engine);
        let mut paths = self.record.files_of(engine.name());
        // Without a record, from an image for example, the marks tell what is ours.
        paths.extend(usual_files(engine));
        paths.sort();
        paths.dedup();
        for path in paths {
            plan.changes.push(self.removal(engine, &path)?);
        }
        if engine == Engine::Docker {
            docker::note_leftovers(self, &mut plan)?;
        }
        Ok(plan)
    }

    /// The file as it was before.
    fn removal(&self, engine: Engine, path: &Path) -> Result<Change, NodeError> {
        let now = self.root.read(path)?;
        let before = match (&now, engine) {
            (None, _) => None,
            (Some(now), _) if self.record.is_as_written(path, now) => self.record.before(path)?,
            (Some(now), Engine::Docker) => {
                let before = self.record.before(path)?;
                let rest = crate::config::daemon_json::take_out(path, now, before.as_deref())?;
                let is_empty = before.is_none() && rest.split_whitespace().collect::<String>() == "{}";
                Some(rest).filter(|_| !is_empty)
            }
            (Some(now), _) => {
                let stripped = block::strip(path, now)?;
                let was_ours = stripped.block_at.is_some() && stripped.text.is_empty();
                Some(stripped.text).filter(|_| !was_ours)
            }
        };
        Ok(Change { path: path.to_owned(), now, wanted: before.clone(), before })
    }

    /// Where an engine finds the shim; `None` while it is not installed.
    fn shim(&self, engine: Engine) -> Option<PathBuf> {
        shim::find(self.root, &shim::search_path(self.root, engine), shim::SHIM)
    }

    /// A file without our parts.
    fn stripped(&self, path: &Path) -> Result<(Option<String>, Stripped), NodeError> {
        let now = self.root.read(path)?;
        let stripped = match &now {
            Some(text) => block::strip(path, text)?,
            None => Stripped { text: String::new(), block_at: None },
        };
        Ok((now, stripped))
    }

    /// A change of a file, with the text that is wanted in place of `stripped`.
    fn change(&self, path: &Path, now: Option<String>, stripped: Stripped, wanted: String) -> Change {
        let existed = match self.record.get(path) {
            Some(entry) => entry.before.is_some() || !stripped.text.is_empty(),
            None => now.is_some() && !(stripped.block_at.is_some() && stripped.text.is_empty()),
        };
        let before = Some(stripped.text).filter(|_| existed);
        Change { path: path.to_owned(), now, before, wanted: Some(wanted) }
    }
}

/// Whether a file that does not parse, a template, has our runtime by another's hand.
fn mentions_runtime(text: &str) -> bool {
    let headers = text.lines().map(str::trim).filter(|line| line.starts_with('['));
    let names = ["runtimes.ssr]", "runtimes.\"ssr\"]", "runtimes.'ssr']"];
    headers.map(|line| line.replace(' ', "")).any(|line| names.iter().any(|name| line.contains(name)))
}

/// What is said about a runtime that somebody else has configured.
fn hand_made(path: &Path) -> String {
    format!("'{}' has a runtime 'ssr' already, not by `ssr node install`: it was left alone", path.display())
}
