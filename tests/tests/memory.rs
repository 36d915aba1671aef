//! A container that needs more memory than it may have: exit code 137, and the
//! event by which Docker and a kubelet know why.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;

use ssr_e2e::{Container, Lab, http, shell};

/// 64 MiB.
const LIMIT: &str = "67108864";

/// `ctr events` in the background.
struct Events {
    ctr: Child,
    path: std::path::PathBuf,
}

impl Events {
    fn of(lab: &Lab, name: &str) -> Self {
        let path = lab.dir().join(name);
        let file = fs::File::create(&path).unwrap();
        let ctr = lab.ctr(["events"]).stdin(Stdio::null()).stdout(file).spawn().unwrap();
        Self { ctr, path }
    }

    /// Waits for the event of a topic that holds all the words.
    fn wait_for(&self, topic: &str, words: &[&str]) {
        let events = || fs::read_to_string(&self.path).unwrap();
        let fits = |line: &str| line.contains(topic) && words.iter().all(|word| line.contains(word));
        let found = shell::poll(|| events().lines().any(fits).then_some(()));
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
    let lab = Lab::shared();
    let events = Events::of(&lab, "events-of-linux");
    let linux =
        lab.linux(["sh", "-c", "tail /dev/zero; exit $?"]).option("--memory-limit").option(LIMIT).detach();
    let id = linux.id().to_owned();
    events.wait_for("/tasks/oom", &[&id]);
    assert_eq!(linux.wait().code, 137);
    events.wait_for("/tasks/exit", &[&id, "137"]);
}

#[test]
fn a_site_out_of_memory_is_killed_with_an_event() {
    let lab = Lab::shared();
    let events = Events::of(&lab, "events-of-site");
    let site = lab
        .site()
        .env("SSR_RENDER_MEMORY", "1GiB")
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

/// Those of a container's threads that render.
fn render_threads(site: &Container) -> usize {
    let threads = format!("grep -c ssr-render /proc/{}/task/*/comm | grep -c ':1'", site.pid());
    let found = shell::run(&mut site.lab().inside(["sh", "-c", &threads]));
    found.stdout.trim().parse().unwrap()
}

#[test]
fn a_site_that_nobody_visits_gives_memory_back_and_serves_the_next_visitor() {
    let lab = Lab::start();
    let site = lab.site().start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|n| assert_eq!(site.get(&format!("/number?n={n}")).status, 200)));
        }
    });
    let busy = site.pss();
    assert!(render_threads(&site) > 0);
    let rests = shell::poll(|| (render_threads(&site) == 0).then_some(()));
    assert!(rests.is_some(), "threads stay: {}", site.log());
    let idle = site.pss();
    assert!(idle + 500 < busy, "{busy} KiB at work, {idle} KiB at rest");
    assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
    assert_eq!(site.stop().code, 0);
}
