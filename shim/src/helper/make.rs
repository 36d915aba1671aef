//! Makes a container that runs our own binary.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use ssr_code_cache::ipc;
use ssr_wasm::code_source::file_name;

use super::command::{Done, ModuleFile, OwnOptions, ProcessStdio};
use super::error_chain::error_chain;
use super::executor::OwnExecutor;
use super::inherited_fds;
use super::loopback;
use super::mounts::image;
use super::mounts::root::restrict_root;
use super::mounts::volumes;
use crate::cgroup::Cgroup;
use crate::cgroup::paths::unified;
use crate::io::stdio;
use crate::oci::container_files::ContainerFiles;
use crate::oci::container_kind::{self, ContainerKind};
use crate::oci::entrypoint::Unusable;
use crate::oci::{own_process, spec};

/// The directory in a bundle that holds libcontainer's state of the container.
const STATE: &str = "state";

/// Makes the container of a bundle whose root filesystem is mounted, unless another program
/// has to.
pub fn create(
    bundle: &Path,
    id: &str,
    options: OwnOptions,
    stdio: ProcessStdio,
    module: &ModuleFile,
) -> Result<Done> {
    let mut spec = spec::load(bundle)?;
    let root = spec::root(&spec, bundle)?;
    let files = ContainerFiles::new(&spec, &root)
        .with_context(|| format!("cannot look at the image's files in '{}'", root.display()))?;
    let kind = match (module, ContainerKind::of(&spec, &files)) {
        (ModuleFile::Layer(_), _) => ContainerKind::Site,
        (ModuleFile::Expected, Err(Unusable::Missing(_))) if spec::names_module(&spec) => {
            return Ok(Done::NoEntrypoint);
        }
        (_, Err(unusable)) => bail!("{unusable}"),
        (_, Ok(kind)) => kind,
    };
    let executor = match kind {
        ContainerKind::Linux => return Ok(Done::LinuxRoot),
        ContainerKind::Sandbox => OwnExecutor::Pause,
        ContainerKind::Site => OwnExecutor::Site,
    };
    if kind == ContainerKind::Site {
        // As early as this: whoever provides the code looks at the module meanwhile.
        announce(&spec, &files, module);
    }
    restrict_root(bundle, &root, &mut spec)?;
    if kind == ContainerKind::Site {
        image::leave_to_process(bundle, &spec)?;
    }
    own_process::prepare(&mut spec, &files, unified())?;
    // The container's process must not get hold of the image's root as the node sees it.
    drop(files);
    if let ModuleFile::Layer(module) = module {
        own_process::add_module(&mut spec, module)?;
    }
    volumes::prepare(bundle, &mut spec)?;
    let cgroup = Cgroup::of_spec(&spec, id, options.systemd);
    cgroup.check_manager()?;
    cgroup.make_parents()?;
    let own_network = loopback::is_ours(&spec);
    let builder = builder(bundle, id, stdio)?.with_executor(executor);
    let bundle = save(bundle, spec)?;
    let init = builder.as_init(bundle).with_systemd(options.systemd).with_no_pivot(options.no_pivot);
    let container = init.with_detach(true).build().map_err(error_chain)?;
    let pid = container.pid().ok_or_else(|| anyhow!("its process ended immediately"))?;
    if own_network {
        loopback::switch_on(pid.as_raw())?;
    }
    Ok(Done::Process { pid: pid.as_raw(), serves: kind == ContainerKind::Site })
}

/// Lets the code of the container's module be prepared while the container is made. Best
/// effort: its process asks for it in any case.
fn announce(spec: &Spec, files: &ContainerFiles, module: &ModuleFile) {
    let file = match module {
        ModuleFile::Layer(layer) => File::open(layer).ok(),
        ModuleFile::Expected | ModuleFile::InRoot => container_kind::module_of(spec, files),
    };
    if let (Some(file), Some(path)) = (file, spec::entrypoint(spec)) {
        let _ = ipc::announce(inherited_fds::code_socket(), &file_name(&path.to_string_lossy()), &file);
    }
}

/// Writes the configuration as libcontainer should get it into a bundle of its own.
fn save(bundle: &Path, mut spec: Spec) -> Result<PathBuf> {
    spec.canonicalize_rootfs(bundle)
        .map_err(|error| anyhow!("cannot resolve the root filesystem: {error}"))?;
    let changed = bundle.join(STATE).join("bundle");
    std::fs::create_dir_all(&changed)?;
    spec.save(changed.join("config.json"))
        .map_err(|error| anyhow!("cannot write the changed bundle: {error}"))?;
    Ok(changed)
}

fn builder(bundle: &Path, id: &str, stdio: ProcessStdio) -> Result<ContainerBuilder> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(bundle.join(STATE))
        .map_err(error_chain)?
        .with_preserved_fds(inherited_fds::COUNT);
    Ok(match stdio {
        ProcessStdio::Terminal { socket } => builder.with_console_socket(Some(socket)),
        ProcessStdio::Files(files) => {
            let [stdin, stdout, stderr] = stdio::open_files(&files)?;
            builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr)
        }
    })
}

pub fn load(bundle: &Path, id: &str) -> Result<Container> {
    Container::load(bundle.join(STATE).join(id)).map_err(error_chain)
}
