//! Faults at each stage of a container's life: the shim, the container's process or
//! containerd is killed, the disk is full, nothing reads the log. Nothing hangs, and
//! everything can be removed without a trace.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ssr_e2e::{Container, Containerd, http, leaks, shell};

/// Removes a container as a person would. Each command may fail, none may hang, and after
/// the last one the container is gone.
fn remove(container: Container) {
    container.task(&["kill", "-s", "SIGKILL"]);
    container.wait_for_exit();
    container.task(&["delete", "--force"]);
    assert_eq!(container.listed(), None);
}

#[test]
fn a_killed_shim_takes_its_container_along_and_containerd_cleans_up() {
    let containerd = Containerd::start();
    let path = containerd.dir().join("events");
    let events = fs::File::create(&path).unwrap();
    let mut ctr = containerd.ctr(["events"]).stdin(Stdio::null()).stdout(events).spawn().unwrap();
    for container in [containerd.site().detach(), containerd.linux(["sleep", "1000"]).detach()] {
        shell::signal(containerd.shim_pid(container.id()), "KILL");
        container.wait_for_exit();
        let matches = |line: &str| line.contains("/tasks/exit") && line.contains(container.id());
        let exit = || fs::read_to_string(&path).unwrap().lines().any(matches).then_some(());
        assert!(shell::poll(exit).is_some(), "no exit event of {}", container.id());
        remove(container);
    }
    ctr.kill().unwrap();
    ctr.wait().unwrap();
    containerd.assert_clean();
}

#[test]
fn a_shim_killed_before_the_start_leaves_nothing_behind() {
    let containerd = Containerd::start();
    let container = containerd.linux(["sleep", "1000"]).create();
    container.create_task();
    shell::signal(containerd.shim_pid(container.id()), "KILL");
    remove(container);
    containerd.assert_clean();
}

#[test]
fn a_container_has_exited_when_its_process_is_killed_from_outside() {
    let containerd = Containerd::start();
    let site = containerd.site().detach();
    shell::run(&mut containerd.inside(["kill", "-s", "KILL", &site.pid().to_string()])).success();
    assert_eq!(site.wait().code, 137);

    let created = containerd.linux(["sleep", "1000"]).create();
    let pid = created.create_task().to_string();
    shell::run(&mut containerd.inside(["kill", "-s", "KILL", &pid])).success();
    created.wait_for_exit();
    remove(created);
    containerd.assert_clean();
}

#[test]
fn containers_outlive_containerd_and_are_found_again() {
    let containerd = Containerd::start();
    let mut site = containerd.site().detach();
    site.wait_for_answer();
    let linux = containerd.linux(["sleep", "1000"]).detach();
    let exits_meanwhile = containerd.linux(["sleep", "1000"]).detach();
    let created = containerd.linux(["sleep", "1000"]).create();
    created.create_task();
    for signal in ["TERM", "KILL"] {
        let before = (site.listed(), linux.listed());
        containerd.restart(signal);
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

    // It exits while containerd is down and its events cannot be delivered.
    let pid = exits_meanwhile.pid();
    let mut kill = containerd.inside(["kill", "-s", "KILL", &pid.to_string()]);
    shell::signal(containerd.pid(), "KILL");
    shell::run(&mut kill).success();
    assert!(shell::poll(|| containerd.answers().then_some(())).is_some(), "containerd does not come back");
    exits_meanwhile.wait_for_exit();
    remove(exits_meanwhile);
    containerd.assert_clean();
}

#[test]
fn everything_can_be_removed_whatever_is_killed_while_containers_start_and_stop() {
    let containerd = Containerd::start();
    for round in 0..6 {
        println!("round {round}");
        let container = containerd.linux(["sleep", "1000"]).create();
        thread::scope(|scope| {
            let start = scope.spawn(|| container.task(&["start", "--detach"]));
            // Later in each round, so that the fault hits create, start and a running container.
            thread::sleep(Duration::from_millis(20 * round));
            match round % 2 {
                0 => containerd.restart("KILL"),
                _ => kill_shims(&containerd),
            }
            start.join().unwrap();
        });
        thread::scope(|scope| {
            let delete = scope.spawn(|| container.task(&["delete", "--force"]));
            thread::sleep(Duration::from_millis(10 * round));
            match round % 2 {
                0 => kill_shims(&containerd),
                _ => containerd.restart("KILL"),
            }
            delete.join().unwrap();
        });
        remove(container);
        // When a shim is killed before containerd knows it, containerd starts no cleanup,
        // whatever the runtime: a socket is left behind on which nothing listens.
        shell::run(&mut containerd.inside(["find", "/run/containerd/s", "-type", "s", "-delete"])).success();
        containerd.assert_clean();
    }
}

#[test]
fn requests_of_containerd_are_completed_although_it_is_killed_meanwhile() {
    let containerd = Containerd::start();
    for delay in (0..100).step_by(10) {
        println!("{delay} ms after the command");
        let container = containerd.linux(["sleep", "1000"]).detach();
        thread::scope(|scope| {
            let delete = scope.spawn(|| container.task(&["delete", "--force"]));
            thread::sleep(Duration::from_millis(delay));
            containerd.restart("KILL");
            delete.join().unwrap();
        });
        remove(container);
        containerd.assert_clean();
    }
}

/// Kills the shims that have already detached from the process that containerd started.
fn kill_shims(containerd: &Containerd) {
    let shims = leaks::children(containerd.init_pid()).into_iter();
    for shim in shims.filter(|pid| leaks::command(*pid).contains("containerd-shim")) {
        // It may exit before the signal arrives.
        shell::run(Command::new("kill").args(["-KILL", &shim.to_string()]));
    }
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let containerd = Containerd::start();
    let full = containerd.dir().join("full");
    fs::create_dir(&full).unwrap();
    let path = full.to_str().unwrap();
    shell::run(&mut containerd.inside(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path])).success();

    let linux =
        containerd.linux(["sh", "-c", "yes | head -c 1000000; exit 5"]).detach_to(full.join("linux.log"));
    assert_eq!(linux.wait().code, 5);
    let mut site = containerd.site().detach_to(full.join("site.log"));
    site.wait_for_answer();
    let text = "x".repeat(1000);
    for _ in 0..200 {
        assert_eq!(site.get(&format!("/log?text={text}")).status, 200);
    }
    assert_eq!(site.stop().code, 0);
    shell::run(&mut containerd.inside(["umount", path])).success();
    containerd.assert_clean();
}

#[test]
fn a_log_that_nothing_reads_blocks_neither_pages_nor_the_exit() {
    let containerd = Containerd::start();
    let site = containerd.site().start();
    // `ctr run` reads the container's output. It is suspended.
    let reader = site.client_pid();
    shell::signal(reader, "STOP");
    let text = "x".repeat(1000);
    for _ in 0..200 {
        assert_eq!(http::get(&site.url(&format!("/log?text={text}"))).status, 200);
    }
    assert_eq!(site.exec(&["ssr", "health"]).code, 0);
    site.kill("SIGTERM");
    site.wait_for_exit();
    shell::signal(reader, "CONT");
    assert_eq!(site.wait().code, 0);
    containerd.assert_clean();
}
