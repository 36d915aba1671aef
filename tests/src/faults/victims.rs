//! The processes below an engine, and which of them a fault may kill.

use super::fault::Fault;
use crate::leaks;

/// The command of processes that are executed to be killed.
pub const EXECUTED: [&str; 2] = ["sleep", "4321"];

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id in this process's namespace.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// The container whose shim it is, or descends from.
    pub container: Option<String>,
    /// Whether it is the shim itself.
    is_shim: bool,
    /// Whether its parent is the shim.
    is_child: bool,
}

/// The processes below an init process.
pub fn below(init: u32) -> Vec<Process> {
    let mut found = Vec::new();
    for pid in leaks::children(init) {
        let command = leaks::command(pid);
        let container = command.contains("containerd-shim").then(|| id_of(&command)).flatten();
        let is_shim = container.is_some();
        collect(Process { pid, command, container, is_shim, is_child: false }, &mut found);
    }
    found
}

fn collect(process: Process, found: &mut Vec<Process>) {
    for pid in leaks::children(process.pid) {
        let (container, is_child) = (process.container.clone(), process.is_shim);
        let command = leaks::command(pid);
        collect(Process { pid, command, container, is_shim: false, is_child }, found);
    }
    found.push(process);
}

fn id_of(command: &str) -> Option<String> {
    let mut words = command.split(' ');
    words.find(|word| *word == "-id")?;
    words.next().map(str::to_owned)
}

impl Process {
    /// Whether a fault may kill it. The container `spared` must go on; of others, only those
    /// count whose ids begin with `prefix`.
    pub fn is_victim_of(&self, fault: Fault, prefix: &str, spared: &str) -> bool {
        let Some(container) = &self.container else { return false };
        let spared = container == spared;
        if !(spared || container.starts_with(prefix)) {
            return false;
        }
        let word = |position: usize| self.command.split(' ').nth(position).unwrap_or_default();
        let is_runc = word(0).ends_with("runc") && word(1) != "init";
        let is_own = matches!(word(1), "helper" | "provide-code" | "compile") && word(0).ends_with("exe");
        let is_exec = self.command.trim_end() == EXECUTED.join(" ");
        match fault {
            Fault::Shim => self.is_shim && !spared,
            Fault::Init => {
                let other = is_own || is_runc || is_exec || self.is_dead() || self.is_fork();
                self.is_child && !spared && !other
            }
            Fault::Exec => is_exec,
            Fault::Runc => is_runc,
            Fault::Helper => is_own && word(1) == "helper",
            Fault::Provider => is_own && word(1) == "provide-code",
            Fault::Compiler => is_own && word(1) == "compile",
            _ => false,
        }
    }

    /// What it does, and for which container.
    pub fn shown(&self) -> String {
        let words = self.command.split_whitespace().filter(|word| !word.contains('{') && word.len() < 40);
        let words: Vec<_> = words.take(12).collect();
        format!("'{}' of {}", words.join(" "), self.container.as_deref().unwrap_or_default())
    }

    /// Whether it is a copy of the shim that is about to execute something.
    fn is_fork(&self) -> bool {
        id_of(&self.command).is_some()
    }

    /// Whether it has ended, and only waits to be reaped.
    fn is_dead(&self) -> bool {
        self.command.starts_with('[')
    }
}
