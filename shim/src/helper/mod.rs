//! The helper: a process that makes or removes what the kernel has of a container, and
//! ends.
//!
//! libcontainer forks and goes on running Rust in the child, which is safe only in a
//! process with a single thread; the shim has several. So the shim runs this same binary
//! with the argument [`command::COMMAND`] ([`spawn`]), a [`HelperCommand`] as JSON on standard input, and reads
//! the answer as JSON from standard output. The container's process outlives the helper
//! and becomes the shim's child.

pub mod command;
mod enter;
mod error_chain;
mod executor;
pub mod inherited_fds;
mod loopback;
mod make;
mod mounts;
pub mod remove;
mod self_exe;
pub mod spawn;
mod trace;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use command::{Answer, Done, HelperCommand};
use error_chain::error_chain;
use mounts::root;

use crate::signals::end_with_parent;

/// Runs one command; see the module's text.
pub fn main() -> ExitCode {
    // First, while the numbers of their descriptors are free.
    let opened =
        self_exe::open().and_then(|()| take_code_socket()).and_then(|()| inherited_fds::reserve_image());
    let answer: Answer =
        opened.and_then(|()| end_with_shim()).and_then(|()| run()).map_err(|error| format!("{error:#}"));
    let written = serde_json::to_vec(&answer).map(|answer| io::stdout().write_all(&answer));
    match (answer, written) {
        (Ok(_), Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Keeps the socket for the process that this command makes.
fn take_code_socket() -> Result<()> {
    match std::env::args().nth(3) {
        Some(number) => inherited_fds::place_code_socket(number.parse()?),
        None => Ok(()),
    }
}

/// The shim cleans up after a helper that fails half way. If the shim itself is killed,
/// the helper ends too and leaves the rest to containerd's call of `delete`.
fn end_with_shim() -> Result<()> {
    end_with_parent(&std::env::args().nth(2).context("the helper does not know its shim")?)
}

fn run() -> Result<Done> {
    trace::keep_errors();
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    // Inherited by forked processes until they execute something.
    let mut _lock = None;
    match serde_json::from_slice(&input).context("the helper's command cannot be parsed")? {
        HelperCommand::Create { bundle, id, mounts, options, stdio, module } => {
            _lock = Some(remove::lock(&bundle)?);
            let created = root::mount_root(&bundle, &mounts).and_then(|()| {
                make::create(&bundle, &id, options, stdio, &module).context("cannot create the container")
            });
            if !matches!(created, Ok(Done::Process { .. } | Done::LinuxRoot)) {
                let _ = root::unmount_all(&bundle);
            }
            created
        }
        HelperCommand::Start { bundle, id } => {
            make::load(&bundle, &id)?.start().map_err(error_chain).context("cannot start the container")?;
            Ok(Done::Nothing)
        }
        HelperCommand::Exec { bundle, init, process, stdio } => {
            _lock = Some(remove::lock(&bundle)?);
            enter::exec(&bundle, init, &process, stdio)
        }
        HelperCommand::Delete { bundle, id, systemd } => remove::delete(&bundle, &id, systemd),
    }
}
