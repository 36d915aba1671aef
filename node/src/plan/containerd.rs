//! containerd as a service of its own.

use std::path::{Path, PathBuf};

use super::{Node, Plan, hand_made};
use crate::config::block::{self, Stripped};
use crate::config::entry;
use crate::config::facts::{Facts, IMAGES_PLUGIN, LOCAL_PULL, LocalPull, Names, RUNTIME, RuntimeFacts};
use crate::engine::version::{self, Version};
use crate::engine::{CONTAINERD_CONFIG, Engine};
use crate::error::NodeError;
use crate::files::root::Root;

/// The first version that merges an imported file into the main one table by table. Before,
/// an import replaced the whole configuration of CRI.
pub const MERGES_IMPORTS: Version = Version(2, 0, 0);

/// The first version whose CRI pulls images by the transfer service.
pub const TRANSFERS_IMAGES: Version = Version(2, 1, 0);

/// The first version with names of plugins as in version 3 of the configuration, and the first
/// that starts a shim by the path in `runtime_path` and asks it what it can do.
pub const CONTAINERD_2: Version = Version(2, 0, 0);

/// The name of our file among imported ones.
pub const DROP_IN: &str = "ssr.toml";

/// Where containerd 2.2 and later suggest imported files to be.
const DROP_IN_DIRECTORY: &str = "/etc/containerd/conf.d";

pub(super) fn usual_files() -> Vec<PathBuf> {
    vec![CONTAINERD_CONFIG.into(), Path::new(DROP_IN_DIRECTORY).join(DROP_IN)]
}

pub(super) fn plan(node: &Node<'_>) -> Result<Plan, NodeError> {
    let mut plan = Plan::new(Engine::Containerd);
    let main = Path::new(CONTAINERD_CONFIG);
    let (now, stripped) = node.stripped(main)?;
    let facts = Facts::parse(main, &stripped.text)?;
    let version = version::of(Engine::Containerd, node.root, node.versions);

    if facts.is_cri_disabled() {
        plan.note(format!(
            "'{CONTAINERD_CONFIG}' turns CRI off, as Docker's package does: `ctr` and Docker need no entry there"
        ));
        return Ok(without_block(node, plan, now, stripped));
    }
    if facts.runtime(RUNTIME).is_some() {
        plan.note(hand_made(main));
        return Ok(without_block(node, plan, now, stripped));
    }
    let directory = drop_in_directory(main, &facts);
    let merges = match &version {
        Ok(version) => *version >= MERGES_IMPORTS,
        // Version 3 of the configuration came with containerd 2.
        Err(_) => facts.version() >= Some(3),
    };
    if let Some(directory) = directory.filter(|_| merges) {
        if let Some(other) = other_drop_in(node.root, &directory)? {
            plan.note(hand_made(&other));
            return Ok(without_block(node, plan, now, stripped));
        }
        let path = directory.join(DROP_IN);
        let beside = effective(node.root, Engine::Containerd).unwrap_or_else(|| facts.neighbour());
        let pull = version.is_ok_and(|version| version >= TRANSFERS_IMAGES);
        let plan = without_block(node, plan, now, stripped);
        return drop_in(node, plan, &path, &facts, &beside, pull);
    }
    let text = stripped.text.clone();
    let version = match version {
        Err(reason) if now.is_none() => {
            return Err(NodeError::UnknownVersion { engine: "containerd", reason });
        }
        version => version.ok(),
    };
    // A file that says nothing begins with the version; another keeps what it has.
    let is_new = text.trim().is_empty();
    let header = match version {
        Some(version) if is_new && version >= CONTAINERD_2 => "version = 3\n",
        _ if is_new => "version = 2\n",
        _ => "",
    };
    let names = if is_new {
        if header == "version = 3\n" { Names::V3 } else { Names::V2 }
    } else {
        names(&facts, version)
    };
    let beside = effective(node.root, Engine::Containerd).unwrap_or_else(|| facts.neighbour());
    let mut lines = header.to_owned();
    if version.is_none_or(|version| version < CONTAINERD_2) && names != Names::V3 && !facts.has_runtimes() {
        lines += &entry::default_runtime(names);
    }
    let shim = node.shim(Engine::Containerd).filter(|_| starts_by_path(version));
    lines += &entry::runtime(names, &beside, shim.as_deref());
    let mut edited = text.clone();
    if version.is_some_and(|version| version >= TRANSFERS_IMAGES) {
        let assignment = format!("{LOCAL_PULL} = true");
        match facts.local_pull() {
            LocalPull::On => {}
            LocalPull::Off(at) => edited = block::replace_line(&text, at, &assignment),
            LocalPull::InTable(at) => edited = block::insert_line_after(&text, at, &assignment),
            LocalPull::NoTable => lines += &entry::local_pull(),
            LocalPull::OtherForm => plan.note(format!(
                "'{CONTAINERD_CONFIG}' writes the table '{IMAGES_PLUGIN}' in a form that cannot be added to: set \
                 {LOCAL_PULL} = true in it by hand, or pods do not start from pulled images"
            )),
        }
    }
    // The block's place moves with what was added before it.
    let added = edited.len() - text.len();
    let block_at = stripped.block_at.map(|at| at + added);
    let wanted = block::insert(&Stripped { text: edited, block_at }, &lines);
    check_result(main, &wanted, &lines)?;
    plan.changes.push(node.change(main, now, stripped, wanted));
    Ok(plan)
}

/// Takes a block out of the main file, which needs none any more.
fn without_block(node: &Node<'_>, mut plan: Plan, now: Option<String>, stripped: Stripped) -> Plan {
    if now.as_ref().is_some_and(|now| *now != stripped.text) {
        let mut change = node.change(Path::new(CONTAINERD_CONFIG), now, stripped, String::new());
        change.wanted = change.before.clone();
        plan.changes.push(change);
    }
    plan
}

/// Plans our file among the imported ones. Its version is that of the main file: containerd
/// refuses a higher one.
pub(super) fn drop_in(
    node: &Node<'_>,
    mut plan: Plan,
    path: &Path,
    main: &Facts,
    beside: &RuntimeFacts,
    local_pull: bool,
) -> Result<Plan, NodeError> {
    let (now, stripped) = node.stripped(path)?;
    let version = main.version().map(|version| format!("version = {version}\n")).unwrap_or_default();
    // Imported files are read by containerd 2 and later only.
    let names = if main.version() == Some(2) { Names::V2 } else { Names::V3 };
    let mut lines = format!("{version}{}", entry::runtime(names, beside, node.shim(plan.engine).as_deref()));
    if local_pull && main.local_pull() != LocalPull::On {
        lines += &entry::local_pull();
    }
    let wanted = block::insert(&stripped, &lines);
    check_result(path, &wanted, &lines)?;
    plan.changes.push(node.change(path, now, stripped, wanted));
    Ok(plan)
}

/// Whether a containerd starts a shim by its path; [`entry::runtime`] has the reason to do so.
pub(super) fn starts_by_path(version: Option<Version>) -> bool {
    version.is_some_and(|version| version >= CONTAINERD_2)
}

/// The names that plugins have in a file.
pub(super) fn names(facts: &Facts, containerd: Option<Version>) -> Names {
    match facts.version() {
        Some(2) => Names::V2,
        Some(_) => Names::V3,
        // containerd 2 does not migrate the settings of CRI from a file without a version.
        None if containerd.is_some_and(|version| version >= CONTAINERD_2) => Names::V3,
        None => Names::V1,
    }
}

/// The first imported directory of which all `*.toml` are read.
pub fn drop_in_directory(main: &Path, facts: &Facts) -> Option<PathBuf> {
    facts.imports().into_iter().find_map(|import| {
        let directory = import.strip_suffix("/*.toml")?;
        let plain = !directory.contains(['*', '?', '[']);
        let directory = main.parent().unwrap_or(Path::new("/")).join(directory);
        plain.then_some(directory)
    })
}

/// A file in the directory, other than ours, that has our runtime.
pub(super) fn other_drop_in(root: &Root, directory: &Path) -> Result<Option<PathBuf>, NodeError> {
    let Ok(entries) = root.resolve(directory).and_then(std::fs::read_dir) else { return Ok(None) };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let path = directory.join(&name);
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let Some(text) = root.read(&path)? else { continue };
        let stripped = block::strip(&path, &text)?;
        if Facts::parse(&path, &stripped.text)?.runtime(RUNTIME).is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What the runtime beside ours really has, imports included. `None` if the machine's
/// containerd cannot say it.
fn effective(root: &Root, engine: Engine) -> Option<RuntimeFacts> {
    let dump = crate::config::dump::read(root, engine).ok()?;
    Some(Facts::parse(Path::new("config dump"), &dump).ok()?.neighbour())
}

/// Refuses a result that containerd could not read: a table that is written as
/// `runtimes = { … }` takes no second part.
pub(super) fn check_result(path: &Path, wanted: &str, lines: &str) -> Result<(), NodeError> {
    let has = Facts::parse(path, wanted).map(|facts| facts.runtime(RUNTIME).is_some());
    match has {
        Ok(true) => Ok(()),
        Ok(false) => Err("the file would not have it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|reason| NodeError::NoPlace { path: path.to_owned(), reason, entry: lines.to_owned() })
}
