//! Makes a container's processes, and removes what the kernel has of it, by the program that
//! its kind needs: the helper, or the node's OCI runtime.

use std::path::Path;

use anyhow::{Context, Result, bail};
use containerd_shim::api::CreateTaskRequest;

use crate::compile::provider::{self, Provider};
use crate::helper::command::{Done, HelperCommand, ModuleFile, OwnOptions, ProcessStdio, RootMount};
use crate::helper::spawn;
use crate::oci::options::RuntimeOptions;
use crate::oci::wasm_layer::Images;
use crate::reaper::Reaper;
use crate::runc::Runc;

/// What makes and changes a container.
pub enum Runtime {
    /// The helper: its processes run our own binary.
    Own,
    /// The node's OCI runtime: they are Linux programs.
    Runc(Runc),
}

/// Removes what the kernel has of a bundle's container, whoever made it and however far
/// that came. What stays without doing harm is only logged.
pub async fn remove_from_kernel(bundle: &Path, id: &str, reaper: &Reaper) -> Result<()> {
    let options = RuntimeOptions::of_bundle(bundle)?;
    let by_runc = match Runc::to_remove(bundle, id, &options.of_runc(), reaper) {
        Ok(Some(runc)) => runc.delete().await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let delete = HelperCommand::Delete {
        bundle: bundle.to_owned(),
        id: id.to_owned(),
        systemd: options.systemd_cgroup,
    };
    if let Done::Left(left) = spawn::run(&delete, reaper).await? {
        log::warn!("container '{id}' is deleted, but something of it stays: {left}");
    }
    match by_runc {
        // The helper has removed the rest, and the runtime's state goes with the bundle.
        Err(error) if options.root.is_empty() => log::warn!("container '{id}': {error:#}"),
        result => return result,
    }
    Ok(())
}

/// Makes the container's first process, by the program that the container's kind needs.
pub async fn make_init(
    request: &CreateTaskRequest,
    options: &RuntimeOptions,
    images: &Images,
    stdio: ProcessStdio,
    reaper: &Reaper,
) -> Result<(Runtime, i32, Option<Provider>)> {
    let (bundle, id) = (Path::new(&request.bundle), &request.id);
    let mounts = request.rootfs.iter().map(|mount| RootMount {
        kind: mount.type_.clone(),
        source: mount.source.clone(),
        options: mount.options.clone(),
    });
    let mounts: Vec<_> = mounts.collect();
    let create = |module| HelperCommand::Create {
        bundle: bundle.to_owned(),
        id: id.clone(),
        mounts: mounts.clone(),
        options: OwnOptions { systemd: options.systemd_cgroup, no_pivot: options.no_pivot_root },
        stdio: stdio.clone(),
        module,
    };
    let mut made = make(&create(ModuleFile::Expected), bundle, reaper).await?;
    if matches!(made, Made::Not(Done::NoEntrypoint)) {
        let module = find_module(id, bundle, images).await?;
        made = make(&create(module), bundle, reaper).await?;
    }
    match made {
        Made::Process(pid, provider) => Ok((Runtime::Own, pid, provider)),
        Made::Not(Done::LinuxRoot) => {
            let runc = Runc::new(bundle, id, &options.of_runc(), reaper)?;
            let pid = runc.create(stdio).await?;
            Ok((Runtime::Runc(runc), pid, None))
        }
        Made::Not(done) => bail!("the helper has made no process: {done:?}"),
    }
}

/// What the helper has made.
pub enum Made {
    /// A process, and what will provide its module's code if it serves one.
    Process(i32, Option<Provider>),
    Not(Done),
}

/// Runs a command that makes a process, which may ask for its module's code.
pub async fn make(command: &HelperCommand, bundle: &Path, reaper: &Reaper) -> Result<Made> {
    let (socket, of_process) = provider::sockets()?;
    match spawn::run_with_socket(command, Some(of_process), reaper).await? {
        Done::Process { pid, serves: true } => {
            // Before the process asks: it is ready then. Without it, the process says that
            // nobody answers.
            let provider = Provider::start(socket, bundle, reaper);
            Ok(Made::Process(pid, provider.inspect_err(|error| log::warn!("{error:#}")).ok()))
        }
        Done::Process { pid, serves: false } => Ok(Made::Process(pid, None)),
        done => Ok(Made::Not(done)),
    }
}

/// Where the module is that the image's root does not have.
async fn find_module(id: &str, bundle: &Path, images: &Images) -> Result<ModuleFile> {
    let found = async { images.module(id, &provider::containerd_root(bundle)?).await };
    let layer = found
        .await
        .context("the image has neither a file of the entrypoint's name nor a module as a layer")?;
    Ok(layer.map_or(ModuleFile::InRoot, ModuleFile::Layer))
}
