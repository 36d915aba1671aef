//! `ctr task`: what a person does with a container that runs.

use std::time::Duration;

use ssr_e2e::{Lab, http, leaks, shell};

#[test]
fn a_created_container_has_its_process_and_can_be_started() {
    let lab = Lab::shared();
    let container = lab.linux(["sleep", "1000"]).create();
    let pid = container.create_task();

    assert_eq!(container.listed(), Some((pid, "CREATED".to_owned())));
    // The process waits to become the program; its namespaces are those of the container.
    let mounts = shell::run(&mut lab.inside(["cat", &format!("/proc/{pid}/mounts")])).success().stdout;
    assert!(!mounts.is_empty());

    container.start_task();
    assert_eq!(container.listed(), Some((pid, "RUNNING".to_owned())));
    container.kill("SIGKILL");
    assert_eq!(container.wait().code, 137);
}

#[test]
fn a_real_time_signal_reaches_one_process_or_all() {
    let lab = Lab::shared();
    for options in [&[][..], &["--all"]] {
        let script = "trap 'exit 5' 35; echo ready; while :; do sleep 0.1; done";
        let linux = lab.linux(["sh", "-c", script]).detach();
        linux.wait_for_log("ready");
        linux.task(&[&["kill", "-s", "35"], options].concat()).success();
        assert_eq!(linux.wait().code, 5, "{options:?}");
    }
}

#[test]
fn a_created_container_can_be_killed_and_deleted() {
    let lab = Lab::shared();
    let container = lab.linux(["sleep", "1000"]).create();
    container.create_task();
    container.kill("SIGKILL");
    assert_eq!(container.wait().code, 137);
}

#[test]
fn a_created_container_can_be_deleted_by_force() {
    let lab = Lab::shared();
    let container = lab.linux(["sleep", "1000"]).create();
    container.create_task();
    container.task(&["delete", "--force"]);
    assert_eq!(container.listed(), None);
}

#[test]
fn health_is_0_where_the_server_answers_and_1_with_a_sentence_where_not() {
    let lab = Lab::shared();
    let site = lab.site().start();
    let healthy = site.exec(&["ssr", "health"]);
    assert_eq!(healthy.code, 0, "{}", healthy.stderr);

    // A server that is stopped accepts connections and answers none.
    let pid = site.pid().to_string();
    shell::run(&mut lab.inside(["kill", "-STOP", &pid])).success();
    let silent = site.exec(&["ssr", "health"]);
    shell::run(&mut lab.inside(["kill", "-CONT", &pid])).success();
    assert_eq!(silent.code, 1, "{}", silent.stderr);
    assert!(silent.stderr.contains(site.url("").trim_start_matches("http://")), "{}", silent.stderr);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_missing_program_is_named_where_it_should_be_executed() {
    let lab = Lab::shared();
    let site = lab.site().start();
    let refused = site.exec(&["/bin/nothing", "here"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("/bin/nothing"), "{}", refused.stderr);

    let linux = lab.linux(["sleep", "1000"]).detach();
    let refused = linux.exec(&["nothing-of-that-name"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("nothing-of-that-name"), "{}", refused.stderr);

    assert_eq!(site.get("/").status, 200);
}

#[test]
fn a_program_is_executed_in_a_linux_container() {
    let lab = Lab::shared();
    let linux = lab.linux(["sh", "-c", "echo here >/tmp/file; exec sleep 1000"]).detach();
    shell::poll(|| (linux.exec(&["cat", "/tmp/file"]).stdout == "here\n").then_some(())).expect("the file");

    let said = linux.exec(&["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((said.code, &*said.stdout, &*said.stderr), (42, "out\n", "err\n"));
    let echoed = linux.exec_with_input(&["cat"], "what goes in\n");
    assert_eq!((echoed.code, &*echoed.stdout), (0, "what goes in\n"));
}

#[test]
fn a_signal_reaches_one_executed_process_or_all() {
    let lab = Lab::shared();
    let linux = lab.linux(["sleep", "1000"]).detach();
    let exec = |id: &str| {
        let mut ctr = lab.ctr(["task", "exec", "--exec-id", id, linux.id(), "sleep", "2000"]);
        ctr.stdin(std::process::Stdio::null()).spawn().expect("ctr")
    };
    let (mut one, mut two) = (exec("one"), exec("two"));
    let running = || linux.task(&["ps"]).success().stdout.lines().count() - 1;
    shell::poll(|| (running() == 3).then_some(())).expect("three processes");

    linux.task(&["kill", "-s", "SIGTERM", "--exec-id", "one"]).success();
    assert_eq!(shell::end(&mut one), 128 + 15);
    assert_eq!(running(), 2);

    linux.task(&["kill", "-s", "SIGKILL", "--all"]).success();
    assert_eq!(shell::end(&mut two), 137);
    assert_eq!(linux.wait().code, 137);
}

#[test]
fn a_paused_site_does_not_answer_and_a_resumed_one_does() {
    let lab = Lab::shared();
    let site = lab.site().start();
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
fn metrics_show_what_is_used_and_the_limits() {
    let lab = Lab::shared();
    let limit: u64 = 256 * 1024 * 1024;
    let site = lab.site().option("--memory-limit").option(&limit.to_string()).start();
    assert_eq!(site.get("/").status, 200);

    let metrics = site.task(&["metrics"]).success().stdout;
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.split_whitespace().next() == Some(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
    };
    // Each version of cgroups has its own names.
    let [usage, most, processor] = match metrics.contains("memory.usage_in_bytes") {
        true => ["memory.usage_in_bytes", "memory.limit_in_bytes", "cpuacct.usage"],
        false => ["memory.usage", "memory.usage_limit", "cpu.usage_usec"],
    };
    assert!(value(usage) > 1024 * 1024, "{metrics}");
    assert_eq!(value(most), limit, "{metrics}");
    assert!(value(processor) > 0, "{metrics}");
    assert!(value("pids.current") > 0, "{metrics}");
}

#[test]
fn ps_shows_one_process_that_says_what_it_is() {
    let lab = Lab::shared();
    let site = lab.site().start();
    let list = site.task(&["ps"]).success().stdout;
    let pids: Vec<_> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(pids, [site.pid().to_string()]);
    assert_eq!(site.proc("cmdline").replace('\0', " "), "ssr serve /ssr.wasm /dist ");
}

#[test]
fn one_process_watches_a_container() {
    let lab = Lab::shared();
    let site = lab.site().start();
    let shim = lab.shim(site.id());
    let below = leaks::descendants(shim);
    assert!(below.len() <= 1, "{:?}", below.iter().map(|pid| leaks::command(*pid)).collect::<Vec<_>>());
}

#[test]
fn exit_codes_are_the_programs() {
    let lab = Lab::shared();
    for code in [0, 1, 42, 255] {
        assert_eq!(lab.linux(["sh", "-c", &format!("exit {code}")]).to_end().code, code);
    }
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        // The first process of a container is spared its own signals, but for the kernel's.
        let linux = lab.linux(["sh", "-c", &format!("sh -c 'kill -{signal} $$'; exit $?")]);
        assert_eq!(linux.to_end().code, code, "{signal}");
    }
}
