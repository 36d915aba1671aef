//! `containerd-shim-ssr-v1`: containerd runs this binary for every container of the
//! runtime `io.containerd.ssr.v1`. It runs as one of five processes:
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

use std::process::ExitCode;

fn main() -> ExitCode {
    ssr_wasm::memory_trim::use_single_arena();
    let args: Vec<_> = std::env::args_os().collect();
    match (args.first(), args.get(1)) {
        (Some(name), _) if name == init::NAME => init::main(&args[1..]),
        (_, Some(command)) if command == helper::command::COMMAND => helper::main(),
        (_, Some(command)) if command == compile::lookup::COMMAND => compile::lookup::main(),
        (_, Some(command)) if command == compile::compiler::COMMAND => compile::compiler::main(),
        _ => called_as_runc::answer(&args[1..]).unwrap_or_else(|| bootstrap::main(&args[1..])),
    }
}
