//! `containerd-shim-ssr-v1`: containerd runs this binary for every container
//! whose runtime is `io.containerd.ssr.v1`. It has four lives:
//!
//! - the shim, one process for a container or a pod, which serves containerd's
//!   task API ([`bootstrap`], [`task_service`]);
//! - the runtime, a process that lives for one step of a container's life, makes
//!   or removes what the kernel has of it, and ends ([`runtime`]);
//! - the compiler, a process that makes machine code of a module ([`code_provider`]);
//! - the container itself, executed by the runtime as its last act ([`guest`]).

mod any_message;
mod bootstrap;
mod cgroup;
mod code_provider;
mod container;
mod controllers;
mod entrypoint;
mod events;
mod executor;
mod guest;
mod launcher;
mod logger;
mod metrics;
mod module_layer;
mod oom;
mod own_binary;
mod process;
mod reaper;
mod runtime;
mod runtime_options;
mod signals;
mod spec;
mod stdio;
mod task_service;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    ssr_server::resident::use_one_heap();
    let args: Vec<_> = std::env::args_os().collect();
    match (args.first(), args.get(1)) {
        (Some(name), _) if name == guest::NAME => guest::main(&args[1..]),
        (_, Some(command)) if command == runtime::COMMAND => runtime::main(),
        (_, Some(command)) if command == code_provider::COMMAND => code_provider::main(),
        _ => bootstrap::main(&args[1..]),
    }
}
