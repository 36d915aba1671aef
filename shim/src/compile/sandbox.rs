//! What the compiler gives up before it looks at a module: the node's files, network and
//! processes, its user, its capabilities, and all system calls but those of a program that
//! computes.

use std::io;

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator,
    LinuxSyscallBuilder,
};
use libcontainer::seccomp::initialize_seccomp;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, chdir, chroot, setgroups, setresgid, setresuid};

use crate::signals::end_with_parent;

/// The first of the user ids of compilers. Each has one of its own, made of its pid, so that
/// none can signal or trace another. They lie below 2^31 and above what nodes give to
/// people, services and user namespaces.
const FIRST_USER: u32 = 0x7ff0_0000;

/// How many there are.
const USERS: u32 = 0xf_0000;

/// Where the root that holds nothing is mounted, in the compiler's own mount namespace.
const EMPTY_ROOT: &str = "/proc";

/// The system calls of a program that computes, allocates memory and reads and writes what
/// is open. Names that an architecture does not have are ignored.
const SYSTEM_CALLS: &[&str] = &[
    "brk",
    "cacheflush",
    "clock_getres",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "fcntl64",
    "fstat",
    "fstat64",
    "futex",
    "futex_time64",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "_llseek",
    "lseek",
    "madvise",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "pread64",
    "read",
    "readv",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tls",
    "sigaltstack",
    "sigreturn",
    "statx",
    "tgkill",
    "write",
    "writev",
];

/// Gives all that up, for ever, and ends with the process `parent`. The process must have a
/// single thread.
pub fn enter(parent: &str) -> Result<()> {
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )
    .context("cannot leave the node's namespaces")?;
    leave_files().context("cannot leave the node's files")?;
    drop_bounding_set().context("cannot drop capabilities")?;
    let user = FIRST_USER + std::process::id() % USERS;
    setgroups(&[]).context("cannot leave groups")?;
    setresgid(Gid::from_raw(user), Gid::from_raw(user), Gid::from_raw(user))
        .and_then(|()| setresuid(Uid::from_raw(user), Uid::from_raw(user), Uid::from_raw(user)))
        .with_context(|| format!("cannot become user {user}"))?;
    // A change of the user has cleared it.
    end_with_parent(parent)?;
    nix::sys::prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    initialize_seccomp(&filter()?).context("cannot install the seccomp filter")?;
    Ok(())
}

fn leave_files() -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("empty"), EMPTY_ROOT, Some("tmpfs"), flags, none)?;
    chdir(EMPTY_ROOT)?;
    chroot(".")?;
    Ok(())
}

/// With the user id, the process loses its capabilities; without this set, it can never
/// get any again.
fn drop_bounding_set() -> Result<()> {
    for capability in 0..64 {
        // SAFETY: takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
            return match Errno::last() {
                // The kernel knows no more.
                Errno::EINVAL => Ok(()),
                _ => Err(io::Error::last_os_error().into()),
            };
        }
    }
    Ok(())
}

/// Threads may be made, other processes may not. The flags of `clone3` are in memory, which
/// a filter cannot look at: without it, the C library uses `clone`.
fn filter() -> Result<LinuxSeccomp> {
    let call = |names: &[&str], action| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        LinuxSyscallBuilder::default().names(names).action(action)
    };
    let thread = u64::try_from(libc::CLONE_THREAD)?;
    let of_thread = LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(thread)
        .value_two(thread)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq);
    let calls = [
        call(SYSTEM_CALLS, LinuxSeccompAction::ScmpActAllow).build()?,
        call(&["clone"], LinuxSeccompAction::ScmpActAllow).args([of_thread.build()?]).build()?,
        call(&["clone3"], LinuxSeccompAction::ScmpActErrno)
            .errno_ret(u32::try_from(libc::ENOSYS)?)
            .build()?,
    ];
    let filter = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(u32::try_from(libc::EPERM)?)
        .syscalls(calls);
    Ok(filter.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::fs;
    use std::net::UdpSocket;

    /// What a sandboxed process can still do; 0 if nothing of this list.
    fn attempts() -> i32 {
        let _ = enter(&nix::unistd::getppid().to_string());
        let succeeded = [
            fs::read("/etc/passwd").is_ok(),
            fs::read_dir("/").is_ok(),
            UdpSocket::bind("127.0.0.1:0").is_ok(),
            // SAFETY: take numbers only.
            unsafe { libc::kill(libc::getppid(), 0) } == 0,
            unsafe { libc::setuid(0) } == 0,
            unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0,
            unsafe { libc::ptrace(libc::PTRACE_TRACEME) } == 0,
            unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0) } >= 0,
            unsafe { libc::fork() } >= 0,
        ];
        succeeded.iter().zip(0..).map(|(&succeeded, bit)| i32::from(succeeded) << bit).sum()
    }

    #[test]
    fn a_sandboxed_process_ends_with_its_parent() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: the sandbox is entered by root, and this test does not run as root");
            return;
        }
        let (ended, alive) = nix::unistd::pipe().unwrap();
        // SAFETY: the children call system functions only, and end at once.
        if let ForkResult::Parent { child } = unsafe { fork() }.unwrap() {
            drop(alive);
            assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Exited(_, 0)));
            // The end of the pipe comes when the sandboxed process, which holds it, is gone.
            let read = nix::unistd::read(std::os::fd::AsRawFd::as_raw_fd(&ended), &mut [0; 1]).unwrap();
            assert_eq!(read, 0);
            return;
        }
        let (entered, report) = nix::unistd::pipe().unwrap();
        // SAFETY: as above.
        if let ForkResult::Parent { .. } = unsafe { fork() }.unwrap() {
            let read = nix::unistd::read(std::os::fd::AsRawFd::as_raw_fd(&entered), &mut [0; 1]);
            // SAFETY: ends this process.
            unsafe { libc::_exit(if read == Ok(1) { 0 } else { 1 }) }
        }
        if enter(&nix::unistd::getppid().to_string()).is_ok() {
            let _ = nix::unistd::write(&report, b"x");
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        // SAFETY: ends this process.
        unsafe { libc::_exit(2) }
    }

    #[test]
    fn a_sandboxed_process_can_compute_and_nothing_else() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: the sandbox is entered by root, and this test does not run as root");
            return;
        }
        // SAFETY: the child calls system functions only, and ends at once.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let result = attempts();
                // SAFETY: ends the child.
                unsafe { libc::_exit(if result == 0 { 7 } else { 100 + result.min(100) }) }
            }
            ForkResult::Parent { child } => {
                assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Exited(_, 7)));
            }
        }
    }
}
