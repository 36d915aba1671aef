//! Docker: `daemon.json`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Change, Node, Plan};
use crate::config::daemon_json::{self, DaemonFacts, Wanted};
use crate::config::facts::RUNTIME_TYPE;
use crate::engine::version::{self, Version};
use crate::engine::{DAEMON_JSON, Engine};
use crate::error::NodeError;
use crate::files::root::Root;

/// The first version that keeps images in containerd if it is told to.
const HAS_SNAPSHOTTER: Version = Version(24, 0, 0);

/// The first version that does so on a new installation without being told.
const USES_SNAPSHOTTER: Version = Version(29, 0, 0);

pub(super) fn plan(node: &Node<'_>) -> Result<Plan, NodeError> {
    let mut plan = Plan::new(Engine::Docker);
    let path = Path::new(DAEMON_JSON);
    let now = node.root.read(path)?;
    let before = before(node, path, now.as_deref())?;
    let facts = daemon_json::facts(path, before.as_deref().unwrap_or_default())?;
    let version = version::of(Engine::Docker, node.root, node.versions).ok();
    if let Some(version) = version.filter(|version| *version < HAS_SNAPSHOTTER) {
        return Err(NodeError::TooOld {
            engine: "Docker",
            found: version.to_string(),
            needs: "images of sites need Docker 24 or newer; leave it out with --engine",
        });
    }
    let is_set = daemon_json::facts(path, now.as_deref().unwrap_or_default())?.snapshotter == Some(true);
    let wanted = Wanted {
        runtime: facts.runtime.is_none(),
        // What we have set stays.
        snapshotter: facts.snapshotter != Some(true)
            && (is_set || facts.snapshotter == Some(false) || needs_snapshotter(node.root, version)),
    };
    say(&mut plan, &facts, wanted, is_set);
    let text = match wanted == Wanted::default() {
        true => before.clone(),
        false => Some(daemon_json::add(path, before.as_deref(), wanted)?),
    };
    plan.changes.push(Change { path: path.to_owned(), now, before, wanted: text });
    Ok(plan)
}

/// The file without our parts.
fn before(node: &Node<'_>, path: &Path, now: Option<&str>) -> Result<Option<String>, NodeError> {
    if node.record.get(path).is_none() {
        return Ok(now.map(str::to_owned));
    }
    Ok(node.removal(Engine::Docker, path)?.before)
}

/// Whether Docker has to be told to keep its images in containerd.
fn needs_snapshotter(root: &Root, version: Option<Version>) -> bool {
    if let Some(uses) = root.is_machine().then(uses_snapshotter).flatten() {
        return !uses;
    }
    // An upgraded Docker stays with the store that has its images.
    let has_old_store = || {
        let drivers = root.resolve(Path::new("/var/lib/docker/image")).and_then(std::fs::read_dir);
        drivers.is_ok_and(|mut drivers| drivers.next().is_some())
    };
    version.is_none_or(|version| version < USES_SNAPSHOTTER) || has_old_store()
}

/// What the running Docker says; `None` if it does not answer.
pub fn uses_snapshotter() -> Option<bool> {
    let output = Command::new("docker")
        .args([
            "--host",
            "unix:///run/docker.sock",
            "info",
            "--format",
            "{{.ServerVersion}} {{.DriverStatus}}",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Some versions succeed without an answer.
    let answered = output.status.success() && Version::find(text.split(' ').next()?).is_some();
    answered.then(|| text.contains("io.containerd.snapshotter.v1"))
}

fn say(plan: &mut Plan, facts: &DaemonFacts, wanted: Wanted, is_set: bool) {
    match &facts.runtime {
        Some(runtime) if runtime.get("path").is_some() => plan.note(format!(
            "'{DAEMON_JSON}' has a runtime 'ssr' with 'path', which is for programs like runc and does not work: \
             write {{ \"runtimeType\": \"{RUNTIME_TYPE}\" }} in its place. It was left alone"
        )),
        Some(_) => plan.note(super::hand_made(Path::new(DAEMON_JSON))),
        None => {}
    }
    if wanted.snapshotter && !is_set {
        plan.note(
            "Docker will keep its images in containerd, where those of sites can be. Images and containers of its old \
             store are hidden from the restart on; they are not deleted, and come back with `ssr node remove`. To \
             leave Docker as it is, name the other engines with --engine",
        );
        if let Some(user) = &facts.userns_remap {
            plan.note(format!(
                "'{DAEMON_JSON}' has userns-remap '{user}', with which Docker keeps its old store: images of sites \
                 do not load there"
            ));
        }
        if let Some(driver) = &facts.storage_driver {
            plan.note(format!(
                "'{DAEMON_JSON}' has storage-driver '{driver}', which names a snapshotter of containerd from then on: \
                 if Docker does not start, remove that line"
            ));
        }
    }
    if !facts.live_restore && wanted.snapshotter && !is_set {
        plan.note("containers of Docker stop when it restarts, because live-restore is not set");
    }
}

/// Says what may be ours in a file of which there is no record.
pub(super) fn note_leftovers(node: &Node<'_>, plan: &mut Plan) -> Result<(), NodeError> {
    let path = Path::new(DAEMON_JSON);
    if node.record.get(path).is_some() {
        return Ok(());
    }
    let text = node.root.read(path)?.unwrap_or_default();
    if daemon_json::facts(path, &text)?.runtime.is_some() {
        plan.note(format!(
            "'{DAEMON_JSON}' has a runtime 'ssr', but no record says that `ssr node install` wrote it: it was left alone"
        ));
    }
    Ok(())
}
