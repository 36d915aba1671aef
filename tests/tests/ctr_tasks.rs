//! `ctr task`: what a person does with a running container.

use std::time::Duration;

use ssr_e2e::{Containerd, http, leaks, shell};

#[test]
fn a_created_container_has_its_process_and_can_be_started() {
    let containerd = Containerd::shared();
    let container = containerd.linux(["sleep", "1000"]).create();
    let pid = container.create_task();

    assert_eq!(container.listed(), Some((pid, "CREATED".to_owned())));
    // The process waits to execute the program, already in the container's namespaces.
    let mounts = shell::run(&mut containerd.inside(["cat", &format!("/proc/{pid}/mounts")])).success().stdout;
    assert!(!mounts.is_empty());

    container.start_task();
    assert_eq!(container.listed(), Some((pid, "RUNNING".to_owned())));
    container.kill("SIGKILL");
    assert_eq!(container.wait().code, 137);
}

#[test]
fn a_real_time_signal_reaches_init_alone_or_all_processes() {
    let containerd = Containerd::shared();
    for options in [&[][..], &["--all"]] {
        let script = "trap 'exit 5' 35; echo ready; while :; do sleep 0.1; done";
        let linux = containerd.linux(["sh", "-c", script]).detach();
        linux.wait_for_log("ready");
        linux.task(&[&["kill", "-s", "35"], options].concat()).success();
        assert_eq!(linux.wait().code, 5, "{options:?}");
    }
}

#[test]
fn a_created_container_can_be_killed_and_deleted() {
    let containerd = Containerd::shared();
    let container = containerd.linux(["sleep", "1000"]).create();
    container.create_task();
    container.kill("SIGKILL");
    assert_eq!(container.wait().code, 137);
}

#[test]
fn a_created_container_can_be_deleted_by_force() {
    let containerd = Containerd::shared();
    let container = containerd.linux(["sleep", "1000"]).create();
    container.create_task();
    container.task(&["delete", "--force"]);
    assert_eq!(container.listed(), None);
}

#[test]
fn health_exits_with_0_if_the_server_answers_and_with_1_and_a_reason_if_not() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    let healthy = site.exec(&["ssr", "health"]);
    assert_eq!(healthy.code, 0, "{}", healthy.stderr);

    // A suspended server accepts connections but does not answer.
    let pid = site.pid().to_string();
    shell::run(&mut containerd.inside(["kill", "-STOP", &pid])).success();
    let silent = site.exec(&["ssr", "health"]);
    shell::run(&mut containerd.inside(["kill", "-CONT", &pid])).success();
    assert_eq!(silent.code, 1, "{}", silent.stderr);
    assert!(silent.stderr.contains(site.url("").trim_start_matches("http://")), "{}", silent.stderr);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_missing_program_is_named_by_exec() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    let refused = site.exec(&["/bin/nothing", "here"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("/bin/nothing"), "{}", refused.stderr);

    let linux = containerd.linux(["sleep", "1000"]).detach();
    let refused = linux.exec(&["nothing-of-that-name"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("nothing-of-that-name"), "{}", refused.stderr);

    assert_eq!(site.get("/").status, 200);
}

#[test]
fn a_program_is_executed_in_a_linux_container() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sh", "-c", "echo here >/tmp/file; exec sleep 1000"]).detach();
    shell::poll(|| (linux.exec(&["cat", "/tmp/file"]).stdout == "here\n").then_some(())).expect("the file");

    let output = linux.exec(&["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (42, "out\n", "err\n"));
    let echoed = linux.exec_with_input(&["cat"], "what goes in\n");
    assert_eq!((echoed.code, &*echoed.stdout), (0, "what goes in\n"));
}

#[test]
fn a_signal_reaches_one_executed_process_or_all_processes() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sleep", "1000"]).detach();
    let exec = |id: &str| {
        let mut ctr = containerd.ctr(["task", "exec", "--exec-id", id, linux.id(), "sleep", "2000"]);
        ctr.stdin(std::process::Stdio::null()).spawn().expect("ctr")
    };
    let (mut one, mut two) = (exec("one"), exec("two"));
    shell::poll(|| (linux.process_count() == 3).then_some(())).expect("three processes");

    linux.task(&["kill", "-s", "SIGTERM", "--exec-id", "one"]).success();
    assert_eq!(shell::wait(&mut one), 128 + 15);
    assert_eq!(linux.process_count(), 2);

    linux.task(&["kill", "-s", "SIGKILL", "--all"]).success();
    assert_eq!(shell::wait(&mut two), 137);
    assert_eq!(linux.wait().code, 137);
}

#[test]
fn a_paused_site_does_not_answer_and_a_resumed_one_does() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    site.task(&["pause"]).success();
    site.wait_for_status("PAUSED");
    let url = site.url("/");
    assert!(http::get_within(&url, Duration::from_secs(2)).is_err(), "a paused site answers");

    site.task(&["resume"]).success();
    site.wait_for_status("RUNNING");
    assert_eq!(http::get(&url).status, 200);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn metrics_show_usage_and_limits() {
    let containerd = Containerd::shared();
    let limit: u64 = 256 * 1024 * 1024;
    let site = containerd.site().option("--memory-limit").option(&limit.to_string()).start();
    assert_eq!(site.get("/").status, 200);

    let metrics = site.task(&["metrics"]).success().stdout;
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.split_whitespace().next() == Some(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
    };
    // The names depend on the version of cgroups.
    let [usage, limit_name, cpu] = match metrics.contains("memory.usage_in_bytes") {
        true => ["memory.usage_in_bytes", "memory.limit_in_bytes", "cpuacct.usage"],
        false => ["memory.usage", "memory.usage_limit", "cpu.usage_usec"],
    };
    assert!(value(usage) > 1024 * 1024, "{metrics}");
    assert_eq!(value(limit_name), limit, "{metrics}");
    assert!(value(cpu) > 0, "{metrics}");
    assert!(value("pids.current") > 0, "{metrics}");
}

#[test]
fn ps_shows_one_process_and_its_command_line_is_ssr_serve() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    let list = site.task(&["ps"]).success().stdout;
    let pids: Vec<_> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(pids, [site.pid().to_string()]);
    assert_eq!(site.proc("cmdline").replace('\0', " "), "ssr: serve /ssr.wasm /dist ");
}

#[test]
fn a_container_has_one_shim_process() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    let shim = containerd.shim_pid(site.id());
    let descendants = leaks::descendants(shim);
    assert!(
        descendants.len() <= 1,
        "{:?}",
        descendants.iter().map(|pid| leaks::command(*pid)).collect::<Vec<_>>()
    );
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let containerd = Containerd::shared();
    for code in [0, 1, 42, 255] {
        assert_eq!(containerd.linux(["sh", "-c", &format!("exit {code}")]).run().code, code);
    }
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        // An init process is immune to signals from its own namespace, so a child raises it.
        let linux = containerd.linux(["sh", "-c", &format!("sh -c 'kill -{signal} $$'; exit $?")]);
        assert_eq!(linux.run().code, code, "{signal}");
    }
}
