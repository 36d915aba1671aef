//! Scopes: cgroups that systemd manages.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libcgroups::common::DEFAULT_CGROUP_ROOT;

/// The bus's socket, unless this variable names another.
const BUS: &str = "/var/run/dbus/system_bus_socket";
const BUS_VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// How long the bus may take to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether systemd can be asked for a scope.
///
/// libcgroups 0.7 waits for a bus that is stopped for ten seconds, seven times for each
/// question. Where there is none it asks systemd itself, which mostly gives no answer: it has
/// read the first request together with the end of the greeting, and waits for more.
///
/// # Errors
/// If the bus does not greet.
pub fn check_bus() -> Result<()> {
    let address = std::env::var(BUS_VARIABLE).unwrap_or_else(|_| format!("unix:path={BUS}"));
    let Some(path) = address.split([';', ',']).find_map(|part| part.strip_prefix("unix:path=")) else {
        return Ok(());
    };
    greet(path).with_context(|| {
        format!(
            "systemd is to manage the container's cgroup, and D-Bus, by which it is asked, does not answer at '{path}': \
             start dbus.service (install dbus), or set SystemdCgroup to false"
        )
    })
}

fn greet(path: &str) -> Result<()> {
    let mut bus = UnixStream::connect(path)?;
    bus.set_read_timeout(Some(GREETING_TIMEOUT))?;
    bus.set_write_timeout(Some(GREETING_TIMEOUT))?;
    // The user's id, 0, in hexadecimal digits of its characters (D-Bus specification,
    // "Authentication Protocol").
    bus.write_all(b"\0AUTH EXTERNAL 30\r\n")?;
    let mut answer = [0; 2];
    bus.read_exact(&mut answer)?;
    match &answer {
        b"OK" => Ok(()),
        _ => bail!("it refuses this user"),
    }
}

/// The directory of the scope that a container's configuration names as `SLICE:PREFIX:NAME`
/// (an empty slice is `system.slice`). `None` if it names something else.
pub fn directory(name: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = name.to_str()?.split(':').collect();
    let [slice, prefix, name] = parts[..] else { return None };
    let slice = match slice {
        "" => "system.slice",
        slice => slice,
    };
    let mut directory = PathBuf::from(DEFAULT_CGROUP_ROOT);
    // `a-b.slice` lies in `a.slice`; `-.slice` is the root.
    let below = slice.strip_suffix(".slice")?.trim_start_matches('-');
    let ends = below.match_indices('-').map(|(end, _)| end).chain([below.len()]);
    for end in ends.filter(|end| *end > 0) {
        directory.push(format!("{}.slice", &below[..end]));
    }
    Some(directory.join(format!("{prefix}-{name}.scope")))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn a_scope_lies_in_its_slices() {
        for (name, expected) in [
            ("system.slice:docker:1", Some("/sys/fs/cgroup/system.slice/docker-1.scope")),
            (":ssr:1", Some("/sys/fs/cgroup/system.slice/ssr-1.scope")),
            ("-.slice:ssr:1", Some("/sys/fs/cgroup/ssr-1.scope")),
            (
                "kubepods-burstable-pod1.slice:cri-containerd:2",
                Some(
                    "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/\
                     cri-containerd-2.scope",
                ),
            ),
            ("/default/site", None),
            ("a:b", None),
            ("not-a-slice:a:b", None),
        ] {
            assert_eq!(directory(Path::new(name)), expected.map(PathBuf::from), "{name}");
        }
    }

    #[test]
    fn a_bus_that_accepts_and_says_nothing_does_not_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let path = path.to_str().unwrap();
        assert!(greet(path).is_err());
        let silent = std::os::unix::net::UnixListener::bind(path).unwrap();
        assert!(greet(path).is_err());
        let greeting = std::thread::spawn(move || {
            // The first one has gone.
            for mut client in silent.incoming().flatten().take(2) {
                // Closed with something unread, the connection would be reset.
                let _ = BufReader::new(&client).read_line(&mut String::new());
                let _ = client.write_all(b"OK 0123\r\n");
            }
        });
        greet(path).unwrap();
        greeting.join().unwrap();
    }
}
