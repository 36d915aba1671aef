//! `ssr node`: makes this machine able to run sites as containers, and undoes it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Subcommand;
use ssr_node::check;
use ssr_node::engine::Engine;
use ssr_node::engine::restart;
use ssr_node::engine::version::Version;
use ssr_node::files::root::Root;
use ssr_node::install::{Options, Outcome, install, remove};
use ssr_node::shim::alias;

use crate::output::print;

/// Arguments of `ssr node`.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// Only this container engine, by default all that are installed: containerd, docker, k3s, rke2 or microk8s; may
    /// be repeated
    #[arg(long = "engine", value_name = "ENGINE", value_parser = engine, value_delimiter = ',', global = true)]
    engines: Vec<Engine>,
    /// Take this directory for /, for images and tests
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true, global = true)]
    root: PathBuf,
    /// The version of an engine's containerd, or of Docker, where the program cannot be asked: containerd=2.1.9
    #[arg(long = "engine-version", value_name = "ENGINE=VERSION", value_parser = engine_version, global = true)]
    versions: Vec<(Engine, Version)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add the runtime to the configuration of the container engines
    Install {
        #[command(flatten)]
        change: ChangeArgs,
        /// Also lay a link to the shim by a name that k3s knows, such as wasmtime
        #[arg(long, value_name = "NAME", value_parser = alias_name)]
        alias: Option<&'static str>,
    },
    /// Tell what is right with this machine and what is not, and how to mend it; fails if sites do not run
    Check {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Take out of the configuration what `ssr node install` has put in
    Remove {
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// Print what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Restart the engines that have to read their configuration again
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,
}

fn engine(name: &str) -> Result<Engine, String> {
    Engine::from_name(name)
        .ok_or_else(|| format!("expected one of {}", Engine::ALL.map(Engine::name).join(", ")))
}

fn engine_version(text: &str) -> Result<(Engine, Version), String> {
    let (name, version) = text.split_once('=').ok_or("expected one such as containerd=2.1.9")?;
    let version =
        Version::parse(version).ok_or_else(|| format!("'{version}' is not a version such as 2.1.9"))?;
    Ok((engine(name)?, version))
}

fn alias_name(name: &str) -> Result<&'static str, String> {
    let names = alias::ALIASES.map(|(name, _)| name);
    names
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

/// Runs the command.
pub fn run(args: NodeArgs) -> Result<ExitCode> {
    let NodeArgs { mut engines, root, versions, command } = args;
    ensure!(root.is_dir(), "--root {}: there is no such directory", root.display());
    engines.sort();
    engines.dedup();
    let mut options = Options { root: Root::new(root), engines, versions, dry_run: false };
    match command {
        Command::Check { json } => return print_check(&options, json),
        Command::Install { change, alias } => {
            prepare(&mut options, &change)?;
            let outcomes = announce_and_do(&options, install)?;
            if let Some(name) = alias {
                lay_link(&options, name)?;
            }
            finish(&options, &change, &outcomes)?;
        }
        Command::Remove { change } => {
            prepare(&mut options, &change)?;
            let outcomes = announce_and_do(&options, remove)?;
            for link in alias::remove(&options.root, options.dry_run)? {
                let done = if options.dry_run { "would remove" } else { "removed" };
                eprintln!("{done} the link '{}'", link.display());
            }
            finish(&options, &change, &outcomes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn prepare(options: &mut Options, change: &ChangeArgs) -> Result<()> {
    ensure!(
        !change.restart || options.root.is_machine(),
        "--restart: nothing runs below --root; leave one of them out"
    );
    options.dry_run = change.dry_run;
    Ok(())
}

/// Says what a person must know before anything is changed, and changes it.
fn announce_and_do(
    options: &Options,
    act: impl Fn(&Options) -> Result<Vec<Outcome>, ssr_node::error::NodeError>,
) -> Result<Vec<Outcome>> {
    let planned = act(&Options { dry_run: true, ..options.clone() })?;
    for outcome in &planned {
        for note in &outcome.notes {
            eprintln!("{}: {note}", outcome.engine.name());
        }
    }
    if options.dry_run {
        let text: String = planned.iter().map(|outcome| outcome.difference.as_str()).collect();
        print(text.as_bytes())?;
        return Ok(planned);
    }
    let outcomes = act(options)?;
    for outcome in &outcomes {
        for path in &outcome.changed {
            eprintln!("{}: changed '{}'", outcome.engine.name(), path.display());
        }
    }
    Ok(outcomes)
}

fn lay_link(options: &Options, name: &str) -> Result<()> {
    let link = alias::install(&options.root, name, options.dry_run)?;
    match link {
        Some(link) if options.dry_run => eprintln!("would lay the link '{}'", link.display()),
        Some(link) => eprintln!("laid the link '{}': k3s finds it when it starts", link.display()),
        None => eprintln!("the link for '{name}' is there already"),
    }
    Ok(())
}

/// Restarts what has to be, or says how.
fn finish(options: &Options, change: &ChangeArgs, outcomes: &[Outcome]) -> Result<()> {
    if outcomes.iter().all(|outcome| outcome.changed.is_empty()) {
        eprintln!("nothing to change");
    }
    if options.dry_run || !options.root.is_machine() {
        return Ok(());
    }
    for Outcome { engine, changed, .. } in outcomes {
        if changed.is_empty() && check::unread_file(&options.root, *engine).is_none() {
            continue;
        }
        match change.restart {
            true => eprintln!("{}: {}", engine.name(), restart::restart(*engine)?),
            false => eprintln!(
                "{}: to take effect: {} (or --restart){}",
                engine.name(),
                restart::command(*engine),
                restart::effect(*engine)
            ),
        }
    }
    Ok(())
}

fn print_check(options: &Options, json: bool) -> Result<ExitCode> {
    let rows = check::check(&options.root, &options.engines, &options.versions);
    let text = match json {
        true => serde_json::to_string_pretty(&rows)? + "\n",
        false => check::table(&rows),
    };
    print(text.as_bytes())?;
    Ok(if check::is_good(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_and_versions_are_named_in_errors() {
        assert_eq!(engine("docker"), Ok(Engine::Docker));
        assert_eq!(engine("crio").unwrap_err(), "expected one of containerd, docker, k3s, rke2, microk8s");
        assert_eq!(engine_version("k3s=2.1.5-k3s1"), Ok((Engine::K3s, Version(2, 1, 5))));
        assert!(engine_version("k3s").unwrap_err().contains("containerd=2.1.9"));
        assert!(engine_version("k3s=new").unwrap_err().contains("'new'"));
        assert_eq!(alias_name("wasmtime"), Ok("wasmtime"));
    }
}
