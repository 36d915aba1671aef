//! Ordinary Linux images under Docker and our runtime: standard streams, terminals,
//! and what the options of `docker run` are for.

use ssr_e2e::Docker;

#[test]
fn standard_input_is_read_to_its_end() {
    let docker = Docker::shared();
    assert_eq!(docker.does("echo hi | docker run --rm -i $linux cat"), "hi\n");
    assert_eq!(docker.does("head -c 3000000 /dev/zero | docker run --rm -i $linux wc -c"), "3000000\n");
    assert_eq!(docker.does("docker run --rm -i $linux cat </dev/null"), "");
}

#[test]
fn both_outputs_and_the_exit_code_arrive_apart() {
    let docker = Docker::shared();
    let said = docker.says("docker run --rm $linux sh -c 'echo out; echo err >&2; exit 42'");
    assert_eq!((said.code, &*said.stdout, &*said.stderr), (42, "out\n", "err\n"));
    let said = docker.does("docker run --rm $linux head -c 3000000 /dev/zero | wc -c");
    assert_eq!(said.trim(), "3000000");
}

#[test]
fn a_terminal_is_one_inside_with_the_size_it_has_outside() {
    let docker = Docker::shared();
    let said = docker.does("docker run --rm -t $linux tty");
    assert!(said.contains("/dev/pts/"), "{said}");
    let wait = r#"until [ "$(stty size)" = "40 100" ]; do sleep 0.1; done; echo resized"#;
    let said = docker.says_on_terminal(&format!("docker run --rm -it $linux sh -c '{wait}'"));
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert!(said.stdout.contains("resized"), "{}", said.stdout);
}

#[test]
fn programs_are_executed_in_a_container() {
    let docker = Docker::shared();
    let _gone = docker.named("executing");
    docker.does("docker run -d --name executing -e X=1 -w /tmp $linux sleep 1000");
    let said = docker
        .says("docker exec -e Y=2 -u nobody executing sh -c 'pwd; echo $X$Y; id -un; echo err >&2; exit 3'");
    assert_eq!((said.code, &*said.stdout, &*said.stderr), (3, "/tmp\n12\nnobody\n", "err\n"));
    assert_eq!(docker.does("echo hi | docker exec -i executing cat"), "hi\n");
    assert!(docker.does("docker exec -t executing tty").contains("/dev/pts/"));
    let said = docker.says("docker exec executing nothing-of-that-name");
    assert_ne!(said.code, 0);
    let words = said.stdout + &said.stderr;
    assert!(words.contains("nothing-of-that-name"), "{words}");
    docker.does("docker exec -d executing sleep 2000; docker kill executing");
}

#[test]
fn a_missing_program_is_named() {
    let docker = Docker::shared();
    let _gone = docker.named("missing");
    let said = docker.says("docker run --name missing $linux nothing-of-that-name");
    assert_eq!(said.code, 127, "{}", said.stderr);
    assert!(said.stderr.contains("nothing-of-that-name"), "{}", said.stderr);
}

#[test]
fn the_options_of_run_hold() {
    let docker = Docker::shared();
    for (options, command, output) in [
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
        ("--uts host", "hostname", "lab"),
    ] {
        let said = docker.says(&format!("docker run --rm {options} $linux {command}"));
        assert_eq!(said.code, 0, "{options}: {}", said.stderr);
        let last = said.stdout.lines().last().unwrap_or_default();
        assert_eq!(last, output, "{options}: {}{}", said.stdout, said.stderr);
    }
}

#[test]
fn a_failing_container_is_started_again_as_often_as_asked() {
    let docker = Docker::shared();
    let again = docker.named("again");
    docker.does("docker run -d --name again --restart on-failure:2 $linux sh -c 'echo once more; exit 3'");
    again.wait_for("{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "2 exited 3");
    assert_eq!(again.logs(), "once more\n".repeat(3));
}

#[test]
fn a_container_out_of_memory_is_said_to_be_so() {
    let docker = Docker::shared();
    let eater = docker.named("linux-eater");
    let said = docker.says("docker run --name linux-eater -m 32m --memory-swap 32m $linux tail /dev/zero");
    assert_eq!(said.code, 137, "{}", said.stderr);
    assert_eq!(eater.inspect("{{.State.OOMKilled}}"), "true");
}

#[test]
fn stop_asks_first_and_kills_what_does_not_listen() {
    let docker = Docker::shared();
    let polite = docker.named("polite");
    let deaf = docker.named("deaf");
    docker.does(
        "docker run -d --name polite $linux sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.1; done'
        docker run -d --name deaf $linux sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'",
    );
    polite.wait_for_log("ready");
    deaf.wait_for_log("ready");
    docker.does("docker stop polite; docker stop -t 1 deaf");
    assert_eq!(polite.inspect("{{.State.ExitCode}}"), "7");
    assert_eq!(deaf.inspect("{{.State.ExitCode}}"), "137");
}
