//! The shim, the container's process or containerd is killed, at each moment of a
//! container's life; the disk is full; nobody reads the log. Nothing hangs, and
//! in the end everything can be removed and is gone.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ssr_e2e::{Container, Lab, http, leaks, shell};

/// `ctr task ls` shows the container as ended, or no longer.
fn wait_for_end(container: &Container) {
    let ended = || container.listed().is_none_or(|(_, status)| status == "STOPPED").then_some(());
    assert!(shell::poll(ended).is_some(), "{:?}", container.listed());
}

/// Commands of a person who cleans up; each may fail, none may hang, and then
/// the container is gone.
fn remove(container: Container) {
    container.task(&["kill", "-s", "SIGKILL"]);
    wait_for_end(&container);
    container.task(&["delete", "--force"]);
    assert_eq!(container.listed(), None);
}

#[test]
fn a_shim_that_is_killed_takes_its_container_along_and_containerd_cleans_up() {
    let lab = Lab::start();
    let path = lab.dir().join("events");
    let events = fs::File::create(&path).unwrap();
    let mut ctr = lab.ctr(["events"]).stdin(Stdio::null()).stdout(events).spawn().unwrap();
    for container in [lab.site().detach(), lab.linux(["sleep", "1000"]).detach()] {
        shell::signal(lab.shim(container.id()), "KILL");
        wait_for_end(&container);
        let fits = |line: &str| line.contains("/tasks/exit") && line.contains(container.id());
        let exit = || fs::read_to_string(&path).unwrap().lines().any(fits).then_some(());
        assert!(shell::poll(exit).is_some(), "no exit of {}", container.id());
        remove(container);
    }
    ctr.kill().unwrap();
    ctr.wait().unwrap();
    lab.assert_clean();
}

#[test]
fn a_shim_that_is_killed_before_the_start_leaves_nothing() {
    let lab = Lab::start();
    let container = lab.linux(["sleep", "1000"]).create();
    container.create_task();
    shell::signal(lab.shim(container.id()), "KILL");
    remove(container);
    lab.assert_clean();
}

#[test]
fn a_container_whose_process_is_killed_from_outside_has_ended() {
    let lab = Lab::start();
    let site = lab.site().detach();
    shell::run(&mut lab.inside(["kill", "-s", "KILL", &site.pid().to_string()])).success();
    assert_eq!(site.wait().code, 137);

    let created = lab.linux(["sleep", "1000"]).create();
    let pid = created.create_task().to_string();
    shell::run(&mut lab.inside(["kill", "-s", "KILL", &pid])).success();
    wait_for_end(&created);
    remove(created);
    lab.assert_clean();
}

#[test]
fn containers_outlive_containerd_and_are_found_again() {
    let lab = Lab::start();
    let mut site = lab.site().detach();
    site.wait_for_answer();
    let linux = lab.linux(["sleep", "1000"]).detach();
    let ends_meanwhile = lab.linux(["sleep", "1000"]).detach();
    let created = lab.linux(["sleep", "1000"]).create();
    created.create_task();
    for signal in ["TERM", "KILL"] {
        let before = (site.listed(), linux.listed());
        lab.restart(signal);
        assert_eq!((site.listed(), linux.listed()), before);
        assert_eq!(site.get("/").status, 200);
        assert_eq!(site.exec(&["ssr", "health"]).code, 0);
        assert_eq!(linux.exec(&["echo", "still here"]).stdout, "still here\n");
    }
    assert_eq!(site.stop().code, 0);
    linux.kill("SIGKILL");
    assert_eq!(linux.wait().code, 137);
    created.start_task();
    created.kill("SIGKILL");
    assert_eq!(created.wait().code, 137);

    // It ends while nobody listens to its events.
    let pid = ends_meanwhile.pid();
    let mut kill = lab.inside(["kill", "-s", "KILL", &pid.to_string()]);
    shell::signal(lab.containerd(), "KILL");
    shell::run(&mut kill).success();
    let answers = || (shell::run(&mut lab.ctr(["version"])).code == 0).then_some(());
    assert!(shell::poll(answers).is_some(), "containerd does not come back");
    wait_for_end(&ends_meanwhile);
    remove(ends_meanwhile);
    lab.assert_clean();
}

#[test]
fn whatever_is_killed_while_containers_start_and_end_everything_can_be_removed() {
    let lab = Lab::start();
    for round in 0..6 {
        println!("round {round}");
        let container = lab.linux(["sleep", "1000"]).create();
        thread::scope(|scope| {
            let start = scope.spawn(|| container.task(&["start", "--detach"]));
            // Later in each round: while it is created, started, and running.
            thread::sleep(Duration::from_millis(20 * round));
            match round % 2 {
                0 => lab.restart("KILL"),
                _ => kill_shims(&lab),
            }
            start.join().unwrap();
        });
        thread::scope(|scope| {
            let end = scope.spawn(|| container.task(&["delete", "--force"]));
            thread::sleep(Duration::from_millis(10 * round));
            match round % 2 {
                0 => kill_shims(&lab),
                _ => lab.restart("KILL"),
            }
            end.join().unwrap();
        });
        remove(container);
        // Where a shim is killed before containerd knows it, containerd asks nobody to
        // clean up, whatever the runtime: a name is left that nobody listens at.
        shell::run(&mut lab.inside(["find", "/run/containerd/s", "-type", "s", "-delete"])).success();
        lab.assert_clean();
    }
}

#[test]
fn what_containerd_asked_for_is_done_although_it_is_killed_meanwhile() {
    let lab = Lab::start();
    for delay in (0..100).step_by(10) {
        println!("{delay} ms after the command");
        let container = lab.linux(["sleep", "1000"]).detach();
        thread::scope(|scope| {
            let end = scope.spawn(|| container.task(&["delete", "--force"]));
            thread::sleep(Duration::from_millis(delay));
            lab.restart("KILL");
            end.join().unwrap();
        });
        remove(container);
        lab.assert_clean();
    }
}

/// Kills those shims that run by now: they have left the process that containerd
/// started.
fn kill_shims(lab: &Lab) {
    let shims = leaks::children(lab.first()).into_iter();
    for shim in shims.filter(|pid| leaks::command(*pid).contains("containerd-shim")) {
        // It may be gone before the signal comes.
        shell::run(Command::new("kill").args(["-KILL", &shim.to_string()]));
    }
}

#[test]
fn a_log_on_a_full_disk_stops_nobody() {
    let lab = Lab::start();
    let full = lab.dir().join("full");
    fs::create_dir(&full).unwrap();
    let path = full.to_str().unwrap();
    shell::run(&mut lab.inside(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path])).success();

    let linux = lab.linux(["sh", "-c", "yes | head -c 1000000; exit 5"]).detach_to(full.join("linux.log"));
    assert_eq!(linux.wait().code, 5);
    let mut site = lab.site().detach_to(full.join("site.log"));
    site.wait_for_answer();
    let text = "x".repeat(1000);
    for _ in 0..200 {
        assert_eq!(site.get(&format!("/log?text={text}")).status, 200);
    }
    assert_eq!(site.stop().code, 0);
    shell::run(&mut lab.inside(["umount", path])).success();
    lab.assert_clean();
}

#[test]
fn a_reader_who_stops_reading_the_log_hinders_neither_pages_nor_the_end() {
    let lab = Lab::start();
    let site = lab.site().start();
    // `ctr run` reads the container's output: until it is stopped.
    let reader = site.client();
    shell::signal(reader, "STOP");
    let text = "x".repeat(1000);
    for _ in 0..200 {
        assert_eq!(http::get(&site.url(&format!("/log?text={text}"))).status, 200);
    }
    assert_eq!(site.exec(&["ssr", "health"]).code, 0);
    site.kill("SIGTERM");
    let ended = || site.listed().is_none_or(|(_, status)| status == "STOPPED").then_some(());
    assert!(shell::poll(ended).is_some(), "the site goes on: {:?}", site.listed());
    shell::signal(reader, "CONT");
    assert_eq!(site.wait().code, 0);
    lab.assert_clean();
}
