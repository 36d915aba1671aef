//! A container that needs more memory than it may have: exit code 137, and the
//! event by which Docker and a kubelet know why.

use std::fs;
use std::process::{Child, Stdio};

use ssr_e2e::{Lab, http, shell};

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
