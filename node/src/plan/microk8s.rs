//! microk8s, which makes containerd's configuration from a file with shell variables in it.

use std::path::{Path, PathBuf};

use super::{Node, Plan, containerd, hand_made};
use crate::config::block;
use crate::config::entry;
use crate::config::facts::{Facts, RUNTIME};
use crate::engine::version;
use crate::engine::{Engine, MICROK8S_TEMPLATE};
use crate::error::NodeError;

pub(super) fn usual_files() -> Vec<PathBuf> {
    vec![MICROK8S_TEMPLATE.into()]
}

pub(super) fn plan(node: &Node<'_>) -> Result<Plan, NodeError> {
    let mut plan = Plan::new(Engine::Microk8s);
    let path = Path::new(MICROK8S_TEMPLATE);
    let (now, stripped) = node.stripped(path)?;
    // The variables stand in strings, so that it is TOML before they are replaced.
    let facts = Facts::parse(path, &stripped.text)?;
    if facts.runtime(RUNTIME).is_some() {
        plan.note(hand_made(path));
        return Ok(plan);
    }
    let version = version::of(Engine::Microk8s, node.root, node.versions).ok();
    let mut beside = facts.neighbour();
    // "${SNAPSHOTTER}" is replaced in our part as well; a runtime's own setting is taken as it is.
    beside.binary = None;
    let shim = node.shim(Engine::Microk8s).filter(|_| containerd::starts_by_path(version));
    let lines = entry::runtime(containerd::names(&facts, version), &beside, shim.as_deref());
    let wanted = block::insert(&stripped, &lines);
    containerd::check_result(path, &wanted, &lines)?;
    plan.changes.push(node.change(path, now, stripped, wanted));
    Ok(plan)
}
