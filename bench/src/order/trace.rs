//! Which functions a process calls: each begins with a breakpoint until it is called.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// `int3`.
const BREAKPOINT: [u8; 1] = [0xcc];

/// How often breakpoints are set again: they are lost when a process unmaps its code.
const RENEWAL: Duration = Duration::from_millis(500);

/// A process with breakpoints.
struct Process {
    pid: u32,
    memory: File,
    /// The first byte of each function, by the places in `functions`.
    first_bytes: Vec<u8>,
}

/// Which of the functions at these addresses, which are sorted, the processes call until `done`. All
/// run the same program. `ready` hears when calls are noticed.
pub fn called(pids: &[u32], functions: &[usize], ready: Sender<()>, done: &AtomicBool) -> Result<Vec<bool>> {
    let processes: Vec<Process> =
        pids.iter().map(|&pid| Process::with_breakpoints(pid, functions)).collect::<Result<_>>()?;
    ready.send(()).context("nobody waits")?;
    let mut called = vec![false; functions.len()];
    let (mut last_round, mut renewed) = (false, Instant::now());
    loop {
        // Only of this thread: others have children of their own.
        let event =
            waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG))?;
        match event {
            WaitStatus::StillAlive if last_round => return Ok(called),
            WaitStatus::StillAlive if done.load(Ordering::Relaxed) => {
                processes.iter().try_for_each(|process| process.clear(functions))?;
                // Threads that have just met a breakpoint.
                thread::sleep(Duration::from_millis(100));
                last_round = true;
            }
            WaitStatus::StillAlive if !last_round && renewed.elapsed() > RENEWAL => {
                processes.iter().try_for_each(|process| process.set(functions, &called))?;
                renewed = Instant::now();
            }
            WaitStatus::StillAlive => thread::sleep(Duration::from_micros(200)),
            WaitStatus::Stopped(thread, Signal::SIGTRAP) => {
                let address = after_breakpoint(thread)? - 1;
                if let Ok(place) = functions.binary_search(&address) {
                    let process =
                        processes.iter().find(|process| process.has(thread)).context("a stray thread")?;
                    process.memory.write_all_at(&process.first_bytes[place..=place], address as u64)?;
                    called[place] = true;
                    go_to(thread, address)?;
                }
                ptrace::cont(thread, None)?;
            }
            WaitStatus::Stopped(thread, signal) => ptrace::cont(thread, signal)?,
            WaitStatus::PtraceEvent(thread, ..) => ptrace::cont(thread, None)?,
            _ => {}
        }
    }
}

/// Where a thread is that has met a breakpoint.
#[cfg(target_arch = "x86_64")]
fn after_breakpoint(thread: Pid) -> Result<usize> {
    Ok(ptrace::getregs(thread)?.rip as usize)
}

#[cfg(target_arch = "x86_64")]
fn go_to(thread: Pid, address: usize) -> Result<()> {
    let mut registers = ptrace::getregs(thread)?;
    registers.rip = address as u64;
    Ok(ptrace::setregs(thread, registers)?)
}

#[cfg(not(target_arch = "x86_64"))]
fn after_breakpoint(_: Pid) -> Result<usize> {
    anyhow::bail!("breakpoints are known for x86-64 only")
}

#[cfg(not(target_arch = "x86_64"))]
fn go_to(_: Pid, _: usize) -> Result<()> {
    anyhow::bail!("breakpoints are known for x86-64 only")
}

impl Process {
    fn with_breakpoints(pid: u32, functions: &[usize]) -> Result<Self> {
        let threads: Vec<Pid> = fs::read_dir(format!("/proc/{pid}/task"))?
            .map(|entry| Ok(Pid::from_raw(entry?.file_name().to_string_lossy().parse()?)))
            .collect::<Result<_>>()?;
        for &thread in &threads {
            ptrace::seize(thread, Options::PTRACE_O_TRACECLONE)?;
            ptrace::interrupt(thread)?;
            waitpid(thread, Some(WaitPidFlag::__WALL))?;
        }
        let path = format!("/proc/{pid}/mem");
        let memory = OpenOptions::new().read(true).write(true).open(&path).context(path)?;
        let mut first_bytes = vec![0; functions.len()];
        for (byte, &address) in first_bytes.iter_mut().zip(functions) {
            memory.read_exact_at(std::slice::from_mut(byte), address as u64)?;
        }
        let process = Self { pid, memory, first_bytes };
        process.set(functions, &vec![false; functions.len()])?;
        threads.iter().try_for_each(|&thread| ptrace::cont(thread, None))?;
        Ok(process)
    }

    /// Sets a breakpoint at each function that was not called.
    fn set(&self, functions: &[usize], called: &[bool]) -> Result<()> {
        for (&address, _) in functions.iter().zip(called).filter(|(_, called)| !**called) {
            self.memory.write_all_at(&BREAKPOINT, address as u64)?;
        }
        Ok(())
    }

    fn has(&self, thread: Pid) -> bool {
        fs::exists(format!("/proc/{}/task/{thread}", self.pid)).unwrap_or(false)
    }

    fn clear(&self, functions: &[usize]) -> Result<()> {
        for (byte, &address) in self.first_bytes.iter().zip(functions) {
            self.memory.write_all_at(std::slice::from_ref(byte), address as u64)?;
        }
        Ok(())
    }
}
