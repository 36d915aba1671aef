//! Two hundred containers come and go, twenty at a time, and leave nothing behind.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssr_e2e::{Containerd, leaks, shell};

const CYCLES: usize = 200;
const AT_ONCE: usize = 20;

/// Counts of everything that a container may leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    processes: usize,
    mounts: usize,
    cgroups: usize,
    sockets: usize,
    files: usize,
    containerd_fds: usize,
}

impl Counts {
    fn of(containerd: &Containerd) -> Self {
        let count = |path: String| fs::read_dir(&path).map_or(0, Iterator::count);
        Self {
            processes: leaks::descendants(containerd.init_pid()).len(),
            mounts: leaks::mounts(containerd.init_pid()).len(),
            // Without their parent, which stays with every runtime.
            cgroups: leaks::cgroups(containerd.cgroup())
                .iter()
                .filter(|path| !path.ends_with(containerd.cgroup()))
                .count(),
            sockets: count(format!("/proc/{}/root/run/containerd/s", containerd.init_pid())),
            files: count_files(&containerd.dir().join("state"))
                + count_files("/run/containerd/fifo".as_ref()),
            containerd_fds: count(format!("/proc/{}/fd", containerd.pid())),
        }
    }
}

fn count_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + count_files(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn cycle(containerd: &Containerd, n: usize) {
    // Alternates between sites and Linux containers, each stopped with either signal.
    let container = match n % 2 {
        0 => containerd.site().detach(),
        _ => containerd.linux(["sleep", "1000"]).detach(),
    };
    let signal = if n.is_multiple_of(4) { "SIGTERM" } else { "SIGKILL" };
    container.kill(signal);
    let exited = shell::poll(|| container.listed().filter(|(_, status)| status == "STOPPED"));
    assert!(exited.is_some(), "cycle {n}, {signal}: {:?}, {}", container.listed(), container.log());
    let code = container.wait().code;
    // The signal kills a site that does not listen yet.
    assert!([0, 137, 143].contains(&code), "cycle {n}, {signal}: {code}");
}

#[test]
fn two_hundred_containers_leave_nothing_behind() {
    let containerd = Containerd::start();
    // What the first containers create and containerd keeps is not counted.
    for n in 0..AT_ONCE {
        cycle(&containerd, n);
    }
    containerd.assert_clean();
    let before = Counts::of(&containerd);

    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= CYCLES {
                        break;
                    }
                    cycle(&containerd, n);
                }
            });
        }
    });
    containerd.assert_clean();
    // containerd closes connections and collects garbage some time later.
    let settled = |after: &Counts| after.containerd_fds <= before.containerd_fds + 2;
    let after = shell::poll(|| Some(Counts::of(&containerd)).filter(settled))
        .unwrap_or_else(|| Counts::of(&containerd));
    println!("before {CYCLES} containers: {before:?}\nafter them: {after:?}");
    assert!(settled(&after), "{before:?} became {after:?}");
    let containerd_fds = before.containerd_fds;
    assert_eq!(before, Counts { containerd_fds, ..after });
}
