//! `install` and `remove`: makes plans for the engines, and carries them out.

use std::path::PathBuf;

use similar::TextDiff;

use crate::engine::Engine;
use crate::engine::version::Given;
use crate::error::NodeError;
use crate::files::record::Record;
use crate::files::root::Root;
use crate::files::write;
use crate::plan::{Change, Node, Plan};

/// What to do it with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file system.
    pub root: Root,
    /// The engines; all that are installed if there are none.
    pub engines: Vec<Engine>,
    /// Versions of engines that cannot be asked.
    pub versions: Given,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// What was done for one engine, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The engine.
    pub engine: Engine,
    /// The files that were changed.
    pub changed: Vec<PathBuf>,
    /// The difference, as `diff -u` shows it.
    pub difference: String,
    /// Sentences for the person.
    pub notes: Vec<String>,
}

/// Adds the runtime to the engines' configuration. Either all plans can be made, or nothing
/// is written.
pub fn install(options: &Options) -> Result<Vec<Outcome>, NodeError> {
    let engines = match options.engines.is_empty() {
        true => Engine::installed(&options.root),
        false => options.engines.clone(),
    };
    if engines.is_empty() {
        return Err(NodeError::NoEngine);
    }
    run(options, &engines, |node: &Node<'_>, engine| node.plan(engine))
}

/// Takes out what [`install`] has put in.
pub fn remove(options: &Options) -> Result<Vec<Outcome>, NodeError> {
    let engines = match options.engines.is_empty() {
        true => Engine::ALL.to_vec(),
        false => options.engines.clone(),
    };
    run(options, &engines, |node: &Node<'_>, engine| node.removal_plan(engine))
}

fn run(
    options: &Options,
    engines: &[Engine],
    plan: impl Fn(&Node<'_>, Engine) -> Result<Plan, NodeError>,
) -> Result<Vec<Outcome>, NodeError> {
    let Options { root, versions, .. } = options;
    let mut record = match options.dry_run {
        true => Record::read(root)?,
        false => Record::open(root)?,
    };
    let outcomes = plan_all(root, &record, versions, engines, plan).and_then(|plans| {
        let mut outcomes = Vec::new();
        for plan in plans {
            if !options.dry_run {
                for change in &plan.changes {
                    carry_out(root, &mut record, plan.engine, change)?;
                }
            }
            outcomes.push(outcome(plan));
        }
        Ok(outcomes)
    });
    if !options.dry_run {
        record.close()?;
    }
    outcomes
}

fn plan_all(
    root: &Root,
    record: &Record,
    versions: &Given,
    engines: &[Engine],
    plan: impl Fn(&Node<'_>, Engine) -> Result<Plan, NodeError>,
) -> Result<Vec<Plan>, NodeError> {
    let node = Node { root, record, versions };
    engines.iter().map(|engine| plan(&node, *engine)).collect()
}

fn outcome(plan: Plan) -> Outcome {
    let needed: Vec<_> = plan.changes.iter().filter(|change| change.is_needed()).collect();
    Outcome {
        engine: plan.engine,
        changed: needed.iter().map(|change| change.path.clone()).collect(),
        difference: needed.iter().map(|change| difference(change)).collect(),
        notes: plan.notes,
    }
}

/// Writes one file. What was there is on the disk, with a note of it, before the file
/// changes: wherever this is interrupted, `remove` finds its way back.
fn carry_out(root: &Root, record: &mut Record, engine: Engine, change: &Change) -> Result<(), NodeError> {
    let path = &change.path;
    if change.wanted == change.before {
        write::clean(root, path)?;
        if change.is_needed() {
            match &change.wanted {
                Some(text) => write::file(root, path, text)?,
                None => write::remove_file(root, path)?,
            }
        }
        return record.forget(path);
    }
    let (true, Some(wanted)) = (change.is_needed(), &change.wanted) else { return Ok(()) };
    let directories = write::missing_directories(root, path);
    record.note(path, engine.name(), change.before.as_deref(), wanted, directories.clone())?;
    write::create_directories(root, &directories)?;
    write::file(root, path, wanted)
}

fn difference(change: &Change) -> String {
    let name = |text: &Option<String>| match text {
        Some(_) => change.path.display().to_string(),
        None => "/dev/null".to_owned(),
    };
    let (now, wanted) =
        (change.now.as_deref().unwrap_or_default(), change.wanted.as_deref().unwrap_or_default());
    let difference = TextDiff::from_lines(now, wanted);
    difference.unified_diff().header(&name(&change.now), &name(&change.wanted)).to_string()
}
