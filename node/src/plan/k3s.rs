//! k3s and RKE2, which write containerd's configuration at each start: from a template, and
//! since 2026 with a directory of imported files.

use std::path::{Path, PathBuf};

use super::{Node, Plan, containerd, hand_made, mentions_runtime};
use crate::config::block;
use crate::config::entry;
use crate::config::facts::{Facts, LocalPull, Names, RUNTIME};
use crate::engine::Engine;
use crate::engine::version::{self, Version};
use crate::error::NodeError;

/// The template of containerd 2.
const TEMPLATE_3: &str = "config-v3.toml.tmpl";

/// The template of containerd 1, and of containerd 2 if there is no other.
const TEMPLATE_2: &str = "config.toml.tmpl";

/// Stands for what k3s would write itself.
const BASE: &str = "{{ template \"base\" . }}\n";

fn directory(engine: Engine) -> &'static Path {
    Path::new(engine.generated_directory().unwrap_or_default())
}

pub(super) fn usual_files(engine: Engine) -> Vec<PathBuf> {
    let drop_ins =
        ["config-v3.toml.d", "config.toml.d"].map(|name| Path::new(name).join(containerd::DROP_IN));
    let templates = [TEMPLATE_3, TEMPLATE_2].map(PathBuf::from);
    templates.into_iter().chain(drop_ins).map(|name| directory(engine).join(name)).collect()
}

pub(super) fn plan(node: &Node<'_>, engine: Engine) -> Result<Plan, NodeError> {
    let mut plan = Plan::new(engine);
    let directory = directory(engine);
    let generated = directory.join("config.toml");
    let text = node.root.read(&generated)?;
    let facts = Facts::parse(&generated, text.as_deref().unwrap_or_default())?;
    let version = version::of(engine, node.root, node.versions);

    if let Some(drop_ins) = containerd::drop_in_directory(&generated, &facts) {
        if let Some(other) = containerd::other_drop_in(node.root, &drop_ins)? {
            plan.note(hand_made(&other));
            return Ok(plan);
        }
        for template in [TEMPLATE_3, TEMPLATE_2].map(|name| directory.join(name)) {
            let (_, stripped) = node.stripped(&template)?;
            if mentions_runtime(&stripped.text) {
                plan.note(hand_made(&template));
                return Ok(plan);
            }
        }
        // k3s has had this directory since containerd 2.1.
        let pull = version.as_ref().map_or(true, |version| *version >= containerd::TRANSFERS_IMAGES);
        let path = drop_ins.join(containerd::DROP_IN);
        return containerd::drop_in(node, plan, &path, &facts, &facts.neighbour(), pull);
    }
    for (name, names) in templates(node, directory, &facts, text.is_some(), version.as_ref().ok())? {
        template(node, &mut plan, &directory.join(name), names)?;
    }
    let transfers = version.is_ok_and(|version| version >= containerd::TRANSFERS_IMAGES);
    if transfers && facts.local_pull() != LocalPull::On && !plan.changes.is_empty() {
        plan.note(format!(
            "this {0} has no directory for imported configuration: images of sites that pods pull may not be unpacked \
             by containerd 2.1; import them with `ctr images import --platform wasi/wasm`, or update {0}",
            engine.name()
        ));
    }
    Ok(plan)
}

/// The templates to write: the one that is used now, or that the version will use.
fn templates(
    node: &Node<'_>,
    directory: &Path,
    generated: &Facts,
    was_started: bool,
    version: Option<&Version>,
) -> Result<Vec<(&'static str, Names)>, NodeError> {
    let three = (TEMPLATE_3, Names::V3);
    let two = (TEMPLATE_2, Names::V2);
    // A template of ours alone says nothing about what the person uses.
    let has = |name: &str| -> Result<bool, NodeError> {
        Ok(!node.stripped(&directory.join(name))?.1.text.is_empty())
    };
    if has(TEMPLATE_3)? && version.is_none_or(|version| *version >= containerd::MERGES_IMPORTS) {
        return Ok(vec![three]);
    }
    if was_started {
        return Ok(vec![if generated.version() >= Some(3) { three } else { two }]);
    }
    Ok(match version {
        // The template of version 3 would take the other's place.
        _ if has(TEMPLATE_2)? => vec![two],
        Some(version) if *version >= containerd::MERGES_IMPORTS => vec![three],
        Some(_) => vec![two],
        // One that knows both uses the first, and an older one does not see it.
        None => vec![three, two],
    })
}

fn template(node: &Node<'_>, plan: &mut Plan, path: &Path, names: Names) -> Result<(), NodeError> {
    let (now, stripped) = node.stripped(path)?;
    if mentions_runtime(&stripped.text) {
        plan.note(hand_made(path));
        return Ok(());
    }
    let base = if stripped.text.is_empty() { BASE } else { "" };
    // The template of version 3 is containerd 2's.
    let shim = node.shim(plan.engine).filter(|_| names == Names::V3);
    let lines = format!("{base}{}", entry::runtime_in_template(names, shim.as_deref()));
    // k3s' own part, which has no runtime of this name, is not in the text.
    let parsed = lines.replace(BASE, "").replace("{{ .SystemdCgroup }}", "true");
    debug_assert!(Facts::parse(path, &parsed).is_ok_and(|facts| facts.runtime(RUNTIME).is_some()));
    let wanted = block::insert(&stripped, &lines);
    plan.changes.push(node.change(path, now, stripped, wanted));
    Ok(())
}
