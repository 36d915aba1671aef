//! Ordinary Linux containers under the same runtime, as a pod's pause container and
//! sidecars are.

use ssr_e2e::{Containerd, shell};

#[test]
fn an_elf_program_and_a_script_run() {
    let containerd = Containerd::shared();
    let exited = containerd.linux(["echo", "from a program"]).run();
    assert_eq!((exited.code, &*exited.log), (0, "from a program\n"));
    let exited = containerd.linux(["script.sh", "two", "words"]).run();
    assert_eq!((exited.code, &*exited.log), (0, "a script, given two words\n"));
}

#[test]
fn what_is_not_a_program_is_refused_by_name() {
    let containerd = Containerd::shared();
    for (program, named) in [("/etc/passwd", "/etc/passwd"), ("no-such-program", "no-such-program")] {
        let exited = containerd.linux([program]).run();
        assert_ne!(exited.code, 0);
        assert!(exited.log.contains(named), "{}", exited.log);
    }
}

#[test]
fn standard_input_is_read_to_the_end() {
    let containerd = Containerd::shared();
    let exited = containerd.linux(["cat"]).run_with_input("hi\n");
    assert_eq!((exited.code, &*exited.log), (0, "hi\n"));
    let long = "0123456789abcdef".repeat(64 * 1024);
    let exited = containerd.linux(["sh", "-c", "wc -c; echo read >&2"]).run_with_input(&long);
    assert_eq!((exited.code, &*exited.log), (0, "1048576\nread\n"));
}

#[test]
fn a_terminal_is_a_terminal_inside_and_has_the_same_size() {
    let containerd = Containerd::shared();
    let exited = containerd.linux(["sh", "-c", "tty; exec test -t 0 -a -t 1 -a -t 2"]).run_on_terminal();
    assert_eq!(exited.code, 0, "{}", exited.log);
    assert!(exited.log.contains("/dev/pts/"), "{}", exited.log);

    // The size is set after the start.
    let wait = "until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo resized";
    let exited = containerd.linux(["sh", "-c", wait]).run_on_terminal();
    assert_eq!(exited.code, 0, "{}", exited.log);
    assert!(exited.log.contains("resized"), "{}", exited.log);
}

#[test]
fn an_executed_process_can_have_a_terminal() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sleep", "1000"]).detach();
    let exec =
        containerd.ctr(["task", "exec", "-t", "--exec-id", "tty", linux.id(), "sh", "-c", "tty; exit 7"]);
    let output = shell::run(&mut shell::on_terminal(&exec, 24, 80));
    assert_eq!(output.code, 7, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("/dev/pts/"), "{}", output.stdout);
}

#[test]
fn a_detached_container_writes_its_output_to_the_given_file() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sh", "-c", "echo out; echo err >&2; exit 3"]).detach();
    linux.wait_for_log("out\n");
    linux.wait_for_log("err\n");
    assert_eq!(linux.wait().code, 3);
}

#[test]
fn a_detached_site_writes_its_log_to_the_given_file() {
    let containerd = Containerd::shared();
    let mut site = containerd.site().detach();
    site.wait_for_answer();
    assert_eq!(site.get("/log?text=needle").status, 200);
    site.wait_for_log("logged: needle");
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_container_runs_when_its_output_is_discarded() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sh", "-c", "yes | head -c 1000000; exit 5"]).detach_to("/dev/null".into());
    assert_eq!(linux.wait().code, 5);
}

#[test]
fn orphans_are_killed_with_the_container() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sh", "-c", "(sleep 1000 &) ; echo started; exec sleep 2000"]).detach();
    linux.wait_for_log("started");
    linux.kill("SIGKILL");
    assert_eq!(linux.wait().code, 137);
    // Processes left behind are found when containerd is dropped.
}

#[test]
fn the_working_directory_and_the_environment_are_those_of_the_configuration() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sh", "-c", "pwd; grep NoNewPrivs /proc/self/status; echo $X"]);
    let exited = linux.env("X", "grüezi").option("--cwd").option("/tmp").option("--read-only").run();
    assert_eq!(exited.code, 0, "{}", exited.log);
    for line in ["/tmp", "NoNewPrivs:\t1", "grüezi"] {
        assert!(exited.log.contains(line), "no {line:?} in: {}", exited.log);
    }
}
