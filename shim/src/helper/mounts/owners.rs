//! The owners that files have for a container: what an image or a volume says is root's belongs
//! to the root of the container's user namespace.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use libcontainer::oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::signals::end_with_parent;

/// The owners of files: which one in the container each one on disk is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Owners {
    pub uids: Vec<LinuxIdMapping>,
    pub gids: Vec<LinuxIdMapping>,
}

impl Owners {
    /// Those that containerd passes as options of the root's mounts, which it removes from
    /// them: `uidmap=CONTAINER:HOST:SIZE`, several with commas between, and `gidmap=` likewise.
    /// `None` if there are none.
    pub fn take_from(options: &mut Vec<String>) -> Result<Option<Self>> {
        let mut owners = Self::default();
        let mut found = false;
        for option in std::mem::take(options) {
            let (mappings, text) = match option.split_once('=') {
                Some(("uidmap", text)) => (&mut owners.uids, text),
                Some(("gidmap", text)) => (&mut owners.gids, text),
                _ => {
                    options.push(option);
                    continue;
                }
            };
            for mapping in text.split(',') {
                let invalid = || format!("the root's mount option '{option}' is not CONTAINER:HOST:SIZE");
                mappings.push(parse(mapping).with_context(invalid)?);
            }
            found = true;
        }
        Ok(found.then_some(owners))
    }

    /// A user namespace that has these. No process is in it.
    pub fn namespace(&self) -> Result<OwnedFd> {
        let (report, ready) = nix::unistd::pipe()?;
        let helper = nix::unistd::getpid().to_string();
        // SAFETY: the helper has a single thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                if end_with_parent(&helper).is_ok() && unshare(CloneFlags::CLONE_NEWUSER).is_ok() {
                    let _ = nix::unistd::write(&ready, b"1");
                }
                drop((report, ready));
                nix::unistd::pause();
                // SAFETY: ends this process at once; nothing of the helper's is to run.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                drop(ready);
                let namespace = self.of_process(child, &report);
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                namespace
            }
        }
    }

    fn of_process(&self, child: Pid, report: &OwnedFd) -> Result<OwnedFd> {
        let made = nix::unistd::read(report.as_raw_fd(), &mut [0])? == 1;
        anyhow::ensure!(made, "this kernel does not make user namespaces (user.max_user_namespaces?)");
        let process = Path::new("/proc").join(child.to_string());
        for (name, mappings) in [("uid_map", &self.uids), ("gid_map", &self.gids)] {
            let line = |mapping: &LinuxIdMapping| {
                format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
            };
            let lines: String = mappings.iter().map(line).collect();
            fs::write(process.join(name), &lines).with_context(|| format!("{name}: {}", lines.trim_end()))?;
        }
        Ok(File::open(process.join("ns/user"))?.into())
    }
}

fn parse(mapping: &str) -> Result<LinuxIdMapping> {
    let numbers: Vec<u32> = mapping.split(':').map(str::parse).collect::<Result<_, _>>()?;
    let [container, host, size] = numbers[..] else { anyhow::bail!("three numbers are expected") };
    let mapping = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
    Ok(mapping.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(options: &[&str]) -> Result<(Vec<String>, Option<Owners>)> {
        let mut options: Vec<_> = options.iter().copied().map(str::to_owned).collect();
        let owners = Owners::take_from(&mut options)?;
        Ok((options, owners))
    }

    #[test]
    fn the_roots_owners_are_taken_from_its_options() {
        let (left, owners) =
            taken(&["lowerdir=/a", "uidmap=0:100000:65536", "gidmap=0:200000:1000,1000:5:1", "ro"]).unwrap();
        assert_eq!(left, ["lowerdir=/a", "ro"]);
        let owners = owners.unwrap();
        assert_eq!(owners.uids, [parse("0:100000:65536").unwrap()]);
        assert_eq!(owners.gids, [parse("0:200000:1000").unwrap(), parse("1000:5:1").unwrap()]);
        assert_eq!(taken(&["ro"]).unwrap(), (vec!["ro".to_owned()], None));
    }

    #[test]
    fn malformed_owners_are_named() {
        for option in ["uidmap=", "gidmap=0:1", "uidmap=0:1:2:3", "uidmap=0:-1:2", "gidmap=0:1:2,"] {
            let error = format!("{:#}", taken(&[option]).unwrap_err());
            assert!(error.contains(option), "{error}");
        }
    }
}
