//! Two hundred containers come and go, twenty at a time, and leave nothing.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssr_e2e::{Lab, leaks, shell};

const CYCLES: usize = 200;
const AT_ONCE: usize = 20;

/// What there is of everything that a container may leave.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    processes: usize,
    mounts: usize,
    cgroups: usize,
    sockets: usize,
    files: usize,
    descriptors_of_containerd: usize,
}

impl Figures {
    fn of(lab: &Lab) -> Self {
        let count = |path: String| fs::read_dir(&path).map_or(0, Iterator::count);
        Self {
            processes: leaks::descendants(lab.first()).len(),
            mounts: leaks::mounts(lab.first()).len(),
            // Not their parent, which stays with every runtime.
            cgroups: leaks::cgroups(lab.cgroup()).iter().filter(|path| !path.ends_with(lab.cgroup())).count(),
            sockets: count(format!("/proc/{}/root/run/containerd/s", lab.first())),
            files: files(&lab.dir().join("state")) + files("/run/containerd/fifo".as_ref()),
            descriptors_of_containerd: count(format!("/proc/{}/fd", lab.containerd())),
        }
    }
}

fn files(dir: &std::path::Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + files(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn cycle(lab: &Lab, n: usize) {
    // A site and a Linux container by turns, ended in each of the ways.
    let container = match n % 2 {
        0 => lab.site().detach(),
        _ => lab.linux(["sleep", "1000"]).detach(),
    };
    let signal = if n.is_multiple_of(4) { "SIGTERM" } else { "SIGKILL" };
    container.kill(signal);
    let ended = shell::poll(|| container.listed().filter(|(_, status)| status == "STOPPED"));
    assert!(ended.is_some(), "cycle {n}, {signal}: {:?}, {}", container.listed(), container.log());
    let code = container.wait().code;
    // A site that is told to stop before it listens ends by the signal.
    assert!([0, 137, 143].contains(&code), "cycle {n}, {signal}: {code}");
}

#[test]
fn two_hundred_containers_leave_nothing_behind() {
    let lab = Lab::start();
    // What the first of each makes and what stays is not counted.
    for n in 0..AT_ONCE {
        cycle(&lab, n);
    }
    lab.assert_clean();
    let before = Figures::of(&lab);

    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= CYCLES {
                        break;
                    }
                    cycle(&lab, n);
                }
            });
        }
    });
    lab.assert_clean();
    // containerd closes connections and its garbage collector's files when it gets to it.
    let settled = |after: &Figures| after.descriptors_of_containerd <= before.descriptors_of_containerd + 2;
    let after = shell::poll(|| Some(Figures::of(&lab)).filter(settled)).unwrap_or_else(|| Figures::of(&lab));
    println!("before {CYCLES} containers: {before:?}\nafter them: {after:?}");
    assert!(settled(&after), "{before:?} became {after:?}");
    let descriptors_of_containerd = before.descriptors_of_containerd;
    assert_eq!(before, Figures { descriptors_of_containerd, ..after });
}
