//! Ordinary Linux images under Docker and our runtime: standard streams, terminals, and
//! the options of `docker run`.

use std::fs;

use ssr_e2e::{Docker, leaks, shell};

#[test]
fn standard_input_is_read_to_the_end() {
    let docker = Docker::shared();
    assert_eq!(docker.sh("echo hi | docker run --rm -i $linux cat"), "hi\n");
    assert_eq!(docker.sh("head -c 3000000 /dev/zero | docker run --rm -i $linux wc -c"), "3000000\n");
    assert_eq!(docker.sh("docker run --rm -i $linux cat </dev/null"), "");
}

#[test]
fn both_outputs_and_the_exit_code_arrive_separately() {
    let docker = Docker::shared();
    let output = docker.try_sh("docker run --rm $linux sh -c 'echo out; echo err >&2; exit 42'");
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (42, "out\n", "err\n"));
    let output = docker.sh("docker run --rm $linux head -c 3000000 /dev/zero | wc -c");
    assert_eq!(output.trim(), "3000000");
}

#[test]
fn a_terminal_is_a_terminal_inside_and_has_the_same_size() {
    let docker = Docker::shared();
    let output = docker.sh("docker run --rm -t $linux tty");
    assert!(output.contains("/dev/pts/"), "{output}");
    let wait = r#"until [ "$(stty size)" = "40 100" ]; do sleep 0.1; done; echo resized"#;
    let output = docker.try_sh_on_terminal(&format!("docker run --rm -it $linux sh -c '{wait}'"));
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(output.stdout.contains("resized"), "{}", output.stdout);
}

#[test]
fn programs_are_executed_in_a_container() {
    let docker = Docker::shared();
    let _gone = docker.named("executing");
    docker.sh("docker run -d --name executing -e X=1 -w /tmp $linux sleep 1000");
    let output = docker.try_sh(
        "docker exec -e Y=2 -u nobody executing sh -c 'pwd; echo $X$Y; id -un; echo err >&2; exit 3'",
    );
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (3, "/tmp\n12\nnobody\n", "err\n"));
    assert_eq!(docker.sh("echo hi | docker exec -i executing cat"), "hi\n");
    assert!(docker.sh("docker exec -t executing tty").contains("/dev/pts/"));
    let output = docker.try_sh("docker exec executing nothing-of-that-name");
    assert_ne!(output.code, 0);
    let words = output.stdout + &output.stderr;
    assert!(words.contains("nothing-of-that-name"), "{words}");
    docker.sh("docker exec -d executing sleep 2000; docker kill executing");
}

#[test]
fn a_missing_program_is_named() {
    let docker = Docker::shared();
    let _gone = docker.named("missing");
    let output = docker.try_sh("docker run --name missing $linux nothing-of-that-name");
    assert_eq!(output.code, 127, "{}", output.stderr);
    assert!(output.stderr.contains("nothing-of-that-name"), "{}", output.stderr);
}

#[test]
fn the_options_of_docker_run_take_effect() {
    let docker = Docker::shared();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (options, command, expected) in [
        ("-h pi-zero", "hostname", "pi-zero"),
        ("-w /tmp", "pwd", "/tmp"),
        ("-e GREETING=42", "sh -c 'echo $GREETING'", "42"),
        ("-u 65534:65534", "id -u", "65534"),
        ("-u nobody", "id -un", "nobody"),
        ("--group-add 1234", "id -G", "0 1234"),
        ("--ulimit nofile=321:321", "sh -c 'ulimit -n'", "321"),
        ("--tmpfs /scratch", "sh -c 'grep -c \" /scratch tmpfs \" /proc/mounts'", "1"),
        ("--shm-size 8m", "sh -c 'df -m /dev/shm | tail -n 1 | tr -s \" \" | cut -d \" \" -f 2'", "8"),
        ("--read-only", "sh -c 'touch /file 2>/dev/null || echo refused'", "refused"),
        (
            "--cap-drop ALL",
            "sh -c 'grep CapEff /proc/self/status | tr -d \"\\t\"'",
            "CapEff:0000000000000000",
        ),
        ("--security-opt no-new-privileges", "grep -c NoNewPrivs:.1 /proc/self/status", "1"),
        (
            "--sysctl net.ipv4.ip_unprivileged_port_start=80",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            "80",
        ),
        ("--device /dev/null:/dev/nowhere", "sh -c 'echo x >/dev/nowhere && echo written'", "written"),
        ("--pids-limit 5", "sh -c 'grep -c . /proc/self/status >/dev/null; echo alive'", "alive"),
        ("--entrypoint script.sh", "two words", "a script, given two words"),
        ("--network none", "sh -c 'ls /sys/class/net || true; ip -o link | wc -l'", "1"),
        ("--init", "sh -c 'tr -d \"\\0\" </proc/1/comm'", "docker-init"),
        ("--privileged", "sh -c 'test -c /dev/mem -o -c /dev/kmsg && echo devices'", "devices"),
        ("--pid host", "sh -c 'test $$ -gt 1 && echo outside'", "outside"),
        ("--ipc host", "echo shared", "shared"),
        ("--uts host", "hostname", hostname.trim_end()),
    ] {
        let output = docker.try_sh(&format!("docker run --rm {options} $linux {command}"));
        assert_eq!(output.code, 0, "{options}: {}", output.stderr);
        let last = output.stdout.lines().last().unwrap_or_default();
        assert_eq!(last, expected, "{options}: {}{}", output.stdout, output.stderr);
    }
}

#[test]
fn cgroups_that_a_container_makes_are_removed_with_it() {
    let docker = Docker::shared();
    // The container's own cgroup: of the first controller, or of cgroup v2.
    let make = "cd /sys/fs/cgroup; test -d pids && cd pids; mkdir sub sub/below";
    let output = docker.try_sh(&format!("docker run --rm --privileged $linux sh -c '{make}'"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let left = shell::poll(|| Some(leaks::cgroups("sub")).filter(Vec::is_empty));
    assert!(left.is_some(), "left: {:?}", leaks::cgroups("sub"));
}

#[test]
fn a_failing_container_is_restarted_as_often_as_asked() {
    let docker = Docker::shared();
    let again = docker.named("again");
    docker.sh("docker run -d --name again --restart on-failure:2 $linux sh -c 'echo once more; exit 3'");
    again.wait_for("{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "2 exited 3");
    assert_eq!(again.logs(), "once more\n".repeat(3));
}

#[test]
fn a_container_out_of_memory_is_reported_as_oom_killed() {
    let docker = Docker::shared();
    let eater = docker.named("linux-eater");
    let output =
        docker.try_sh("docker run --name linux-eater -m 32m --memory-swap 32m $linux tail /dev/zero");
    assert_eq!(output.code, 137, "{}", output.stderr);
    assert_eq!(eater.inspect("{{.State.OOMKilled}}"), "true");
}

#[test]
fn stop_sends_sigterm_first_and_kills_what_ignores_it() {
    let docker = Docker::shared();
    let polite = docker.named("polite");
    let deaf = docker.named("deaf");
    docker.sh(
        "docker run -d --name polite $linux sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.1; done'
        docker run -d --name deaf $linux sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'",
    );
    polite.wait_for_log("ready");
    deaf.wait_for_log("ready");
    docker.sh("docker stop polite; docker stop -t 1 deaf");
    assert_eq!(polite.inspect("{{.State.ExitCode}}"), "7");
    assert_eq!(deaf.inspect("{{.State.ExitCode}}"), "137");
}

#[test]
fn stats_show_what_was_read_and_written() {
    let docker = Docker::shared();
    // The engine's own directory is in memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let directory = directory.path().display();
    let disk = docker.sh(&format!("df --output=source {directory} | tail -n 1"));
    let disk = disk.trim();
    if !disk.starts_with("/dev/") {
        println!("SKIPPED: {directory} is not on a disk but on '{disk}', whose operations nobody counts");
        return;
    }
    let web = docker.named("writes");
    // Newer kernels count for cgroup v1 only where there is a limit.
    let limits = format!("--device-write-bps {disk}:1gb --device-read-bps {disk}:1gb");
    let work = "dd if=/dev/zero of=/volume/file bs=1M count=20 oflag=direct && echo written; sleep 1000";
    docker.sh(&format!("docker run -d --name writes {limits} -v {directory}:/volume $linux sh -c '{work}'"));
    web.wait_for_log("written");
    let operations = docker.sh("docker stats --no-stream --format '{{.BlockIO}}' writes");
    assert!(!operations.trim().ends_with("/ 0B"), "{operations}");
}
