//! An engine: its version, what its configuration really says, and what its containerd finds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statvfs::statvfs;

use super::{Row, State};
use crate::config::block;
use crate::config::daemon_json;
use crate::config::dump;
use crate::config::facts::{Facts, LOCAL_PULL, LocalPull, RUNTIME, RUNTIME_TYPE};
use crate::engine::processes::Process;
use crate::engine::restart;
use crate::engine::version::{self, Given, Version};
use crate::engine::{DAEMON_JSON, Engine};
use crate::files::root::Root;
use crate::plan::{self, CONTAINERD_2, TRANSFERS_IMAGES};
use crate::shim::{self, alias};

/// Below this, images cannot be unpacked.
const TOO_LITTLE_DISK: u64 = 100 << 20;

/// Below this, the kubelet removes images and pods.
const LITTLE_DISK: u64 = 1 << 30;

pub(super) fn rows(root: &Root, engine: Engine, versions: &Given) -> Vec<Row> {
    let version = version::of(engine, root, versions);
    let mut rows = vec![match &version {
        Ok(version) => Row::ok(engine.name(), version.to_string()),
        Err(reason) => Row::new(engine.name(), State::Note, format!("unknown version: {reason}")),
    }];
    match engine {
        Engine::Docker => rows.extend(docker(root, version.ok())),
        _ => rows.extend(containerd(root, engine, version.ok())),
    }
    rows.extend(restart_needed(root, engine));
    let path = shim::search_path(root, engine);
    rows.push(the_shim(root, engine, &path));
    rows.push(runc(root, engine, &path));
    if matches!(engine, Engine::K3s | Engine::Rke2) {
        rows.extend(aliases(root, engine));
    }
    rows.extend(disk(root, engine));
    rows
}

fn subject(engine: Engine, what: &str) -> String {
    format!("{}: {what}", engine.name())
}

/// What containerd has of its configuration: all of it from the program itself, or else from
/// the files that it reads.
fn configuration(root: &Root, engine: Engine) -> Result<(Vec<Facts>, &'static str), String> {
    if let Ok(text) = dump::read(root, engine) {
        let facts = Facts::parse(Path::new("containerd config dump"), &text);
        return Ok((vec![facts.map_err(|error| error.to_string())?], "containerd config dump"));
    }
    let main = Path::new(engine.containerd_config());
    let parse = |path: &Path| -> Result<Option<Facts>, String> {
        let text = root.read(path).map_err(|error| error.to_string())?;
        text.map(|text| Facts::parse(path, &text)).transpose().map_err(|error| error.to_string())
    };
    let mut all: Vec<Facts> = parse(main)?.into_iter().collect();
    if let Some(directory) = all.first().and_then(|facts| plan::drop_in_directory(main, facts)) {
        let entries = root.resolve(&directory).and_then(std::fs::read_dir);
        let mut names: Vec<_> =
            entries.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        let files = names.iter().map(|name| directory.join(name));
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
            all.extend(parse(&path)?);
        }
    }
    Ok((all, "the files"))
}

fn containerd(root: &Root, engine: Engine, version: Option<Version>) -> Vec<Row> {
    let name = subject(engine, "runtime ssr");
    let (facts, source) = match configuration(root, engine) {
        Ok(configuration) => configuration,
        Err(reason) => {
            return vec![
                Row::new(name, State::Error, reason).advise("correct the file, or containerd does not start"),
            ];
        }
    };
    if facts.iter().any(Facts::is_cri_disabled) {
        return vec![Row::ok(name, "not needed: CRI is off, and `ctr` and Docker find the shim by its name")];
    }
    let Some(ours) = facts.iter().rev().find_map(|facts| facts.runtime(RUNTIME)) else {
        let missing =
            Row::new(name, State::Error, format!("not in {source}: pods of the class do not start"));
        let prepared = plan::usual_files(engine).into_iter().find(|path| has_block(root, path));
        return vec![match prepared {
            Some(path) if engine != Engine::Containerd => {
                missing.advise(format!("'{}' has it: {}", path.display(), restart::command(engine)))
            }
            _ => missing.advise("ssr node install"),
        }];
    };
    let mut rows = Vec::new();
    let beside = facts.iter().rev().map(Facts::neighbour).find(|beside| *beside != Default::default());
    let beside = beside.unwrap_or_default();
    let cgroup = |driver: Option<bool>| if driver == Some(true) { "systemd" } else { "the runtime" };
    let (is, wanted) = (cgroup(ours.systemd_cgroup), cgroup(beside.systemd_cgroup));
    rows.push(match ours.runtime_type.as_deref() {
        Some(RUNTIME_TYPE) if is == wanted => {
            Row::ok(name, format!("in {source}; {is} manages cgroups, as for the runtime beside it"))
        }
        Some(RUNTIME_TYPE) => Row::new(
            name,
            State::Warning,
            format!("{is} manages its cgroups, and {wanted} those of runc"),
        )
        .advise("ssr node install, or set SystemdCgroup as runc has it where you have written the runtime"),
        other => Row::new(name, State::Error, format!("its type is '{}'", other.unwrap_or_default()))
            .advise(format!("set runtime_type = \"{RUNTIME_TYPE}\"")),
    });
    rows.extend(by_path(root, engine, version, ours.path.as_deref()));
    if ours.snapshotter != beside.snapshotter {
        let of =
            |snapshotter: &Option<String>| snapshotter.clone().unwrap_or_else(|| "the default".to_owned());
        let found = format!("{}, and runc's is {}", of(&ours.snapshotter), of(&beside.snapshotter));
        rows.push(
            Row::new(subject(engine, "snapshotter"), State::Warning, found)
                .advise("ssr node install, or set the same snapshotter"),
        );
    }
    if version.is_some_and(|version| version >= TRANSFERS_IMAGES) {
        let pull = subject(engine, "pulled images");
        rows.push(match facts.iter().any(|facts| facts.local_pull() == LocalPull::On) {
            true => Row::ok(pull, format!("CRI unpacks them ({LOCAL_PULL} is true)")),
            false => Row::new(pull, State::Warning, "the transfer service may not unpack those of sites")
                .advise("ssr node install; where that cannot set it, import images with `ctr images import --platform wasi/wasm`"),
        });
    }
    rows
}

/// Whether containerd starts the shim by a path at which it is, and so tells a kubelet what it can do.
fn by_path(root: &Root, engine: Engine, version: Option<Version>, path: Option<&Path>) -> Option<Row> {
    let name = subject(engine, "runtime_path");
    match path {
        Some(path) if root.has(path) => Some(Row::ok(name, format!("'{}'", path.display()))),
        Some(path) => {
            let found = format!("'{}' is missing: pods of the class do not start", path.display());
            Some(Row::new(name, State::Error, found).advise("ssr node install, or set the path of the shim"))
        }
        None => version.filter(|version| *version >= CONTAINERD_2).map(|_| {
            Row::new(
                name,
                State::Note,
                "not set: a kubelet refuses hostUsers: false and recursiveReadOnly for sites",
            )
            .advise("ssr node install, where pods need either")
        }),
    }
}

fn has_block(root: &Root, path: &Path) -> bool {
    let text = root.read(path).ok().flatten();
    text.is_some_and(|text| block::strip(path, &text).is_ok_and(|stripped| stripped.block_at.is_some()))
}

fn docker(root: &Root, version: Option<Version>) -> Vec<Row> {
    let store = subject(Engine::Docker, "image store");
    let path = Path::new(DAEMON_JSON);
    let text = root.read(path).map(Option::unwrap_or_default);
    let facts = match text.and_then(|text| daemon_json::facts(path, &text)) {
        Ok(facts) => facts,
        Err(error) => {
            let row = Row::new(subject(Engine::Docker, "daemon.json"), State::Error, error.to_string());
            return vec![row.advise("correct the file, or Docker does not start")];
        }
    };
    let running = root.is_machine().then(plan::docker_uses_snapshotter).flatten();
    let missing = |found: &str| Row::new(store.clone(), State::Error, found);
    let mut rows = vec![match (running, facts.snapshotter, version) {
        (Some(true), _, _) => Row::ok(store.clone(), "containerd's (docker info)"),
        (Some(false), Some(true), _) => {
            missing("Docker's old one: it was not restarted").advise(restart::command(Engine::Docker))
        }
        (Some(false), ..) => {
            missing("Docker's old one, which has no images of sites").advise("ssr node install")
        }
        (None, Some(true), _) => Row::ok(store.clone(), "containerd's (daemon.json)"),
        (None, Some(false), _) => missing("turned off in daemon.json").advise("ssr node install"),
        (None, None, Some(version)) if version >= Version(29, 0, 0) => {
            Row::ok(store.clone(), "containerd's, unless Docker was upgraded (it does not answer)")
        }
        (None, None, _) => {
            missing("Docker's old one, which has no images of sites").advise("ssr node install")
        }
    }];
    let name = subject(Engine::Docker, "runtime ssr");
    rows.push(match &facts.runtime {
        None => Row::new(name, State::Note, format!("no short name: --runtime={RUNTIME_TYPE} works without")),
        Some(runtime) if runtime.get("runtimeType").is_some_and(|named| named == RUNTIME_TYPE) => {
            Row::ok(name, format!("{RUNTIME_TYPE} (daemon.json)"))
        }
        Some(_) => Row::new(name, State::Error, "the entry in daemon.json does not name the shim")
            .advise(format!("write {{ \"runtimeType\": \"{RUNTIME_TYPE}\" }} in its place")),
    });
    rows
}

/// A file that an engine has not read since it was changed.
pub fn unread_file(root: &Root, engine: Engine) -> Option<PathBuf> {
    let process = Process::of_containerd(root, engine)?;
    let mut files = plan::usual_files(engine);
    match engine {
        Engine::Docker => files.push(DAEMON_JSON.into()),
        // The others write this one themselves when they start.
        Engine::Containerd => files.push(engine.containerd_config().into()),
        Engine::K3s | Engine::Rke2 | Engine::Microk8s => {}
    }
    files
        .into_iter()
        .find(|path| root.resolve(path).is_ok_and(|found| found.is_file() && process.is_older_than(&found)))
}

fn restart_needed(root: &Root, engine: Engine) -> Option<Row> {
    let found = format!("'{}' was changed after its start", unread_file(root, engine)?.display());
    Some(Row::new(subject(engine, "restart"), State::Warning, found).advise(restart::command(engine)))
}

fn the_shim(root: &Root, engine: Engine, path: &[PathBuf]) -> Row {
    let name = subject(engine, "shim");
    let Some(found) = shim::find(root, path, shim::SHIM) else {
        return Row::new(
            name,
            State::Error,
            format!("{} is not in its PATH, {}", shim::SHIM, shim::shown(path)),
        )
        .advise("make install, or copy it into /usr/local/bin");
    };
    let own = env!("CARGO_PKG_VERSION");
    let shown = found.display();
    match shim_version(root, &found) {
        Some(version) if version == own => Row::ok(name, format!("'{shown}', {version}")),
        Some(version) => {
            Row::new(name, State::Warning, format!("'{shown}' is {version}, and this ssr is {own}"))
                .advise("install both of one release: sites of another one are compiled on the node")
        }
        None if root.is_machine() => {
            Row::new(name, State::Error, format!("'{shown}' does not tell its version"))
                .advise("install the one for this machine's processor")
        }
        None => Row::ok(name, format!("'{shown}'")),
    }
}

fn shim_version(root: &Root, path: &Path) -> Option<String> {
    if !root.is_machine() {
        return None;
    }
    let output = Command::new(path).arg("-v").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Version:"))?;
    Some(line.trim().trim_start_matches('v').to_owned())
}

fn runc(root: &Root, engine: Engine, path: &[PathBuf]) -> Row {
    let name = subject(engine, "runc");
    let found = ["runc", "crun"].iter().find_map(|program| shim::find(root, path, program));
    match found {
        Some(found) => Row::ok(name, format!("'{}'", found.display())),
        None => Row::new(
            name,
            State::Warning,
            "neither runc nor crun in its PATH: Linux programs beside sites do not start",
        )
        .advise("install runc"),
    }
}

fn aliases(root: &Root, engine: Engine) -> Vec<Row> {
    let configured = configuration(root, engine).map(|(facts, _)| facts).unwrap_or_default();
    let known = alias::ALIASES.iter().filter_map(|(name, file)| {
        let path = shim::find(root, &shim::search_path(root, engine), file)?;
        let is_ours = shim::is_link_to_shim(root, &path);
        let runs = if is_ours { "ssr's shim, by --alias" } else { "a shim of its own" };
        let seen = match configured.iter().any(|facts| facts.runtime(name).is_some()) {
            true => "configured",
            false => "not configured before the next start",
        };
        Some(Row::new(subject(engine, &format!("runtime {name}")), State::Note, format!("{runs}: {seen}")))
    });
    known.collect()
}

fn disk(root: &Root, engine: Engine) -> Option<Row> {
    let directory = Path::new(engine.data_directory());
    let found = directory.ancestors().find(|directory| root.has(directory))?;
    let space = statvfs(&root.at(found)).ok()?;
    #[allow(clippy::useless_conversion, reason = "on 32-bit machines they are smaller")]
    let free = u64::from(space.blocks_available()) * u64::from(space.fragment_size());
    let name = subject(engine, "disk");
    let text = format!("{} MiB free in '{}'", free >> 20, found.display());
    Some(match free {
        ..TOO_LITTLE_DISK => {
            Row::new(name, State::Error, text).advise("free some: images cannot be unpacked")
        }
        TOO_LITTLE_DISK..LITTLE_DISK => Row::new(name, State::Warning, text).advise("free some"),
        LITTLE_DISK.. => Row::ok(name, text),
    })
}
