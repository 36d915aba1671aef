//! Makes a container, or another process in one.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;

use super::command::{ModuleFile, NO_ENTRYPOINT, ProcessStdio};
use super::error_chain::error_chain;
use super::executor::EntrypointExecutor;
use super::inherited_fds;
use super::root::ROOT;
use crate::cgroup::Cgroup;
use crate::cgroup::paths::unified;
use crate::oci::spec::{self, PidNamespace};

/// The directory in a bundle that holds libcontainer's state of the container.
const STATE: &str = "state";

pub fn create(
    bundle: &Path,
    id: &str,
    systemd: bool,
    stdio: ProcessStdio,
    module: &ModuleFile,
) -> Result<i32> {
    let spec = spec::load(bundle)?;
    if *module == ModuleFile::Expected && !spec::has_entrypoint(&spec, &bundle.join(ROOT)) {
        return Ok(NO_ENTRYPOINT);
    }
    let builder = builder(bundle, id, stdio)?.with_executor(EntrypointExecutor::Init);
    Cgroup::of_spec(&spec, id, systemd).make_parents()?;
    let bundle = adapted(bundle, spec, module)?.unwrap_or_else(|| bundle.to_owned());
    let container =
        builder.as_init(bundle).with_systemd(systemd).with_detach(true).build().map_err(error_chain)?;
    let pid = container.pid().ok_or_else(|| anyhow!("its process ended immediately"))?;
    Ok(pid.as_raw())
}

/// A bundle like this one with other mounts; `None` if this one needs no change.
///
/// If the container joins another's PID namespace, the cgroup v1 mount is left out:
/// libcontainer 0.7 looks its own process up by its pid in the new namespace and finds
/// none or a wrong one. A module that is a layer of the image is mounted into the root.
fn adapted(bundle: &Path, mut spec: Spec, module: &ModuleFile) -> Result<Option<PathBuf>> {
    let without_cgroups = PidNamespace::of(&spec) == PidNamespace::Joined && !unified();
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if without_cgroups {
        mounts.retain(|mount| mount.typ().as_deref() != Some("cgroup"));
    }
    if let ModuleFile::Layer(file) = module {
        mounts.push(spec::file_at_entrypoint(&spec, file)?);
    } else if !without_cgroups {
        return Ok(None);
    }
    spec.canonicalize_rootfs(bundle)
        .map_err(|error| anyhow!("cannot resolve the root filesystem: {error}"))?;
    spec.set_mounts(Some(mounts));
    let changed = bundle.join(STATE).join("bundle");
    std::fs::create_dir_all(&changed)?;
    spec.save(changed.join("config.json"))
        .map_err(|error| anyhow!("cannot write the changed bundle: {error}"))?;
    Ok(Some(changed))
}

pub fn exec(bundle: &Path, id: &str, process: &Path, stdio: ProcessStdio) -> Result<i32> {
    let spec = spec::load(bundle)?;
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    let pid = builder(bundle, id, stdio)?
        .with_executor(EntrypointExecutor::Exec(seccomp))
        .as_tenant()
        .with_process(Some(process))
        .with_detach(true)
        .build()
        .map_err(error_chain)?;
    Ok(pid.as_raw())
}

fn builder(bundle: &Path, id: &str, stdio: ProcessStdio) -> Result<ContainerBuilder> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(bundle.join(STATE))
        .map_err(error_chain)?
        .with_preserved_fds(inherited_fds::COUNT);
    Ok(match stdio {
        ProcessStdio::Terminal { socket } => builder.with_console_socket(Some(socket)),
        ProcessStdio::Files { stdin, stdout, stderr } => {
            let (mut read, mut write) = (OpenOptions::new(), OpenOptions::new());
            read.read(true);
            // Appends if it is a file.
            write.append(true).create(true);
            builder
                .with_stdin(open(&read, stdin.as_deref())?)
                .with_stdout(open(&write, stdout.as_deref())?)
                .with_stderr(open(&write, stderr.as_deref())?)
        }
    })
}

fn open(options: &OpenOptions, path: Option<&Path>) -> Result<OwnedFd> {
    let path = path.unwrap_or(Path::new("/dev/null"));
    let file: File = options.open(path).with_context(|| format!("cannot open '{}'", path.display()))?;
    Ok(file.into())
}

pub fn load(bundle: &Path, id: &str) -> Result<Container> {
    Container::load(bundle.join(STATE).join(id)).map_err(error_chain)
}
