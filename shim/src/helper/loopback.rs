//! The loopback interface of a container's own network, which the kernel makes switched off.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::thread;

use anyhow::{Context, Result, anyhow};
use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};
use nix::sched::{CloneFlags, setns};

use crate::oci::spec::namespace;

/// Whether the container gets a network namespace that nobody has prepared.
pub fn is_ours(spec: &Spec) -> bool {
    namespace(spec, LinuxNamespaceType::Network).is_some_and(|namespace| namespace.path().is_none())
}

/// Switches it on in the network of a process, as runc does: `ssr health` asks there.
pub fn switch_on(pid: i32) -> Result<()> {
    let network = File::open(format!("/proc/{pid}/ns/net")).context("the container's network")?;
    // A thread's network is its own.
    thread::scope(|scope| {
        let joined = scope.spawn(|| {
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            set_up(c"lo")
        });
        joined
            .join()
            .map_err(|_| anyhow!("the thread panicked"))?
            .context("cannot switch on the loopback interface")
    })
}

fn set_up(name: &std::ffi::CStr) -> io::Result<()> {
    // Any socket of the network serves. It is bound to nothing that has to be there.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: a structure of numbers and bytes, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.to_bytes_with_nul()) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    // SAFETY: the kernel reads the name and fills in the flags.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let up = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: the flags are what the kernel has just filled in.
    unsafe { request.ifr_ifru.ifru_flags |= up };
    // SAFETY: the kernel reads the name and the flags.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
