//! Memory: containers that exceed their limit, and sites that give memory back. The event
//! `/tasks/oom` tells Docker and a kubelet why a container was killed.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;

use ssr_e2e::{Container, Containerd, http, shell};

/// 64 MiB.
const LIMIT: &str = "67108864";

/// `ctr events` in the background.
struct Events {
    ctr: Child,
    path: std::path::PathBuf,
}

impl Events {
    fn of(containerd: &Containerd, name: &str) -> Self {
        let path = containerd.dir().join(name);
        let file = fs::File::create(&path).unwrap();
        let ctr = containerd.ctr(["events"]).stdin(Stdio::null()).stdout(file).spawn().unwrap();
        Self { ctr, path }
    }

    /// Waits for an event of a topic that contains all the words.
    fn wait_for(&self, topic: &str, words: &[&str]) {
        let events = || fs::read_to_string(&self.path).unwrap();
        let matches = |line: &str| line.contains(topic) && words.iter().all(|word| line.contains(word));
        let found = shell::poll(|| events().lines().any(matches).then_some(()));
        assert!(found.is_some(), "no {topic} with {words:?} in: {}", events());
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.ctr.kill();
        let _ = self.ctr.wait();
    }
}

#[test]
fn a_linux_container_out_of_memory_is_killed_with_an_event() {
    let containerd = Containerd::shared();
    let events = Events::of(&containerd, "events-of-linux");
    let linux = containerd
        .linux(["sh", "-c", "tail /dev/zero; exit $?"])
        .option("--memory-limit")
        .option(LIMIT)
        .detach();
    let id = linux.id().to_owned();
    events.wait_for("/tasks/oom", &[&id]);
    assert_eq!(linux.wait().code, 137);
    events.wait_for("/tasks/exit", &[&id, "137"]);
}

#[test]
fn a_site_out_of_memory_is_killed_with_an_event() {
    let containerd = Containerd::shared();
    let events = Events::of(&containerd, "events-of-site");
    let site = containerd
        .site()
        .env("SSR_RENDER_MEMORY_LIMIT", "1GiB")
        .env("SSR_RENDER_TIMEOUT", "60s")
        .option("--memory-limit")
        .option(LIMIT)
        .start();
    let id = site.id().to_owned();
    assert_eq!(site.get("/").status, 200);
    let _ = http::try_get(&site.url("/oom"));
    events.wait_for("/tasks/oom", &[&id]);
    assert_eq!(site.wait().code, 137);
}

/// How many render threads a container has.
fn render_threads(site: &Container) -> usize {
    let threads = format!("grep -c ssr-render /proc/{}/task/*/comm | grep -c ':1'", site.pid());
    let output = shell::run(&mut site.containerd().inside(["sh", "-c", &threads]));
    output.stdout.trim().parse().unwrap()
}

#[test]
fn an_idle_site_gives_memory_back_and_serves_the_next_request() {
    let containerd = Containerd::start();
    let site = containerd.site().start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|n| assert_eq!(site.get(&format!("/number?n={n}")).status, 200)));
        }
    });
    let busy = site.pss();
    assert!(render_threads(&site) > 0);
    let idles = shell::poll(|| (render_threads(&site) == 0).then_some(()));
    assert!(idles.is_some(), "render threads remain: {}", site.log());
    let idle = site.pss();
    assert!(idle + 500 < busy, "{busy} KiB busy, {idle} KiB idle");
    assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
    assert_eq!(site.stop().code, 0);
}
