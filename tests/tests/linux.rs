//! Ordinary Linux containers under the same runtime: a pod's pause container and
//! its sidecars.

use ssr_e2e::{Lab, shell};

#[test]
fn an_elf_program_and_a_script_run() {
    let lab = Lab::shared();
    let ended = lab.linux(["echo", "from a program"]).to_end();
    assert_eq!((ended.code, &*ended.log), (0, "from a program\n"));
    let ended = lab.linux(["script.sh", "two", "words"]).to_end();
    assert_eq!((ended.code, &*ended.log), (0, "a script, given two words\n"));
}

#[test]
fn what_is_no_program_is_refused_by_name() {
    let lab = Lab::shared();
    for (program, named) in [("/etc/passwd", "/etc/passwd"), ("no-such-program", "no-such-program")] {
        let ended = lab.linux([program]).to_end();
        assert_ne!(ended.code, 0);
        assert!(ended.log.contains(named), "{}", ended.log);
    }
}

#[test]
fn standard_input_is_read_to_its_end() {
    let lab = Lab::shared();
    let ended = lab.linux(["cat"]).to_end_with_input("hi\n");
    assert_eq!((ended.code, &*ended.log), (0, "hi\n"));
    let long = "0123456789abcdef".repeat(64 * 1024);
    let ended = lab.linux(["sh", "-c", "wc -c; echo read >&2"]).to_end_with_input(&long);
    assert_eq!((ended.code, &*ended.log), (0, "1048576\nread\n"));
}

#[test]
fn a_terminal_is_one_inside_with_the_size_it_has_outside() {
    let lab = Lab::shared();
    let ended = lab.linux(["sh", "-c", "tty; exec test -t 0 -a -t 1 -a -t 2"]).to_end_on_terminal();
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(ended.log.contains("/dev/pts/"), "{}", ended.log);

    // The size follows the start.
    let wait = "until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo resized";
    let ended = lab.linux(["sh", "-c", wait]).to_end_on_terminal();
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(ended.log.contains("resized"), "{}", ended.log);
}

#[test]
fn a_terminal_is_there_for_what_is_executed_too() {
    let lab = Lab::shared();
    let linux = lab.linux(["sleep", "1000"]).detach();
    let exec = lab.ctr(["task", "exec", "-t", "--exec-id", "tty", linux.id(), "sh", "-c", "tty; exit 7"]);
    let said = shell::run(&mut shell::on_terminal(&exec, 24, 80));
    assert_eq!(said.code, 7, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("/dev/pts/"), "{}", said.stdout);
}

#[test]
fn a_detached_container_writes_its_output_to_the_file_it_is_given() {
    let lab = Lab::shared();
    let linux = lab.linux(["sh", "-c", "echo out; echo err >&2; exit 3"]).detach();
    linux.wait_for_log("out\n");
    linux.wait_for_log("err\n");
    assert_eq!(linux.wait().code, 3);
}

#[test]
fn a_detached_site_does_so_too() {
    let lab = Lab::shared();
    let mut site = lab.site().detach();
    site.wait_for_answer();
    assert_eq!(site.get("/log?text=needle").status, 200);
    site.wait_for_log("logged: needle");
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_container_without_anybody_to_read_runs_all_the_same() {
    let lab = Lab::shared();
    let linux = lab.linux(["sh", "-c", "yes | head -c 1000000; exit 5"]).detach_to("/dev/null".into());
    assert_eq!(linux.wait().code, 5);
}

#[test]
fn orphans_inside_end_with_the_container() {
    let lab = Lab::shared();
    let linux = lab.linux(["sh", "-c", "(sleep 1000 &) ; echo started; exec sleep 2000"]).detach();
    linux.wait_for_log("started");
    linux.kill("SIGKILL");
    assert_eq!(linux.wait().code, 137);
    // What is left would be found at the lab's end.
}

#[test]
fn the_directory_and_the_environment_are_those_of_the_configuration() {
    let lab = Lab::shared();
    let linux = lab.linux(["sh", "-c", "pwd; grep NoNewPrivs /proc/self/status; echo $X"]);
    let ended = linux.env("X", "grüezi").option("--cwd").option("/tmp").option("--read-only").to_end();
    assert_eq!(ended.code, 0, "{}", ended.log);
    for line in ["/tmp", "NoNewPrivs:\t1", "grüezi"] {
        assert!(ended.log.contains(line), "no {line:?} in: {}", ended.log);
    }
}
