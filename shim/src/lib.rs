//! `containerd-shim-ssr-v1`: containerd runs it for every container of the runtime
//! `io.containerd.ssr.v1`. It is one program with `ssr`, and does what this crate has if it
//! is called as a shim. It runs as one of five processes:
//!
//! - the shim, one process for a container or a pod, which serves containerd's task API
//!   ([`bootstrap`], [`task`]);
//! - the helper, which makes or removes what the kernel has of a container, and ends
//!   ([`helper`]);
//! - the process that looks up a module's machine code, and the compiler, which makes it;
//!   both end then ([`compile`]);
//! - the container's own process, which the helper executes as its last act ([`init`]).

mod any_message;
mod bootstrap;
mod called_as_runc;
mod cgroup;
mod compile;
mod environment;
mod helper;
mod info;
mod init;
mod io;
mod logger;
mod oci;
mod reaper;
mod runc;
mod signals;
mod task;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// How the names of all shims begin: containerd makes them of the runtime's name, and a node
/// may call this one by another (`ssr node install --alias`).
const ANY_SHIM: &[u8] = b"containerd-shim-";

/// The name by which the shim's processes call each other, unless they are a container's.
const NAME: &str = "containerd-shim-ssr-v1";

/// Whether the program that was called by `args`, which begin with its name, is to be the shim: by
/// a shim's name, or, as a file of any other name, with a shim's options, whose one hyphen no
/// option of the command-line tool has before a word.
pub fn is_called(args: &[OsString]) -> bool {
    let Some(name) = args.first() else { return false };
    let file = Path::new(name).file_name().unwrap_or_default();
    let option = args.get(1).map_or(&[][..], |option| option.as_bytes());
    name == init::NAME
        || file.as_bytes().starts_with(ANY_SHIM)
        || matches!(option, [b'-', first, _, ..] if first.is_ascii_alphabetic())
}

/// Runs the shim. `args` begin with the program's name.
pub fn main(args: &[OsString]) -> ExitCode {
    match args {
        [name, rest @ ..] if name == init::NAME => init::main(rest),
        [_, command, ..] if command == helper::command::COMMAND => helper::main(),
        [_, command, ..] if command == compile::lookup::COMMAND => compile::lookup::main(),
        [_, command, ..] if command == compile::compiler::COMMAND => compile::compiler::main(),
        _ => {
            let rest = args.get(1..).unwrap_or_default();
            called_as_runc::answer(rest).unwrap_or_else(|| bootstrap::main(rest))
        }
    }
}

/// This program, to be run as a process of the shim's.
fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_tells_the_shim_from_the_other_tool() {
        let is_shim = |args: &[&str]| is_called(&args.iter().map(OsString::from).collect::<Vec<_>>());
        for name in [NAME, "/usr/local/bin/containerd-shim-ssr-v1", "./containerd-shim-wasmtime-v1", "ssr:"] {
            assert!(is_shim(&[name]) && is_shim(&[name, "serve"]), "{name}");
        }
        for name in ["ssr", "/usr/bin/ssr", "/opt/containerd-shim-ssr-v1/ssr", "ssr-1.2", ""] {
            assert!(!is_shim(&[name]) && !is_shim(&[name, "--version"]) && !is_shim(&[name, "-h"]), "{name}");
            // containerd may be told a path: `ctr run --runtime /usr/bin/ssr`.
            assert!(is_shim(&[name, "-namespace", "default"]) && is_shim(&[name, "-info"]), "{name}");
        }
        assert!(!is_shim(&[]));
    }
}
