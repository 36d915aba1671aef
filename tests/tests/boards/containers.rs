//! Containers under the board's containerd.

use std::time::Duration;

use ssr_e2e::Board;
use ssr_e2e::board::SITE;

use super::{ask, assert_pages_equal_nodes};

/// For compiling an engine on an emulated processor.
const COMPILE: Duration = Duration::from_secs(1800);

#[test]
fn pages_equal_those_of_node_and_name_the_back_end() {
    let mut board = Board::get();
    board.run(&format!("start {SITE} site 8080"));
    assert_pages_equal_nodes(&mut board, 8080);
    assert_eq!(board.run("stop site"), "0\n");
}

#[test]
fn a_health_check_is_executed_and_what_a_page_logs_is_in_the_log() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run(&format!("start {fixture} site 8080"));
    let pages = ask(&mut board, 8080, &["/log?text=hello", "/throw"]);
    assert_eq!(pages.iter().map(|page| page.0).collect::<Vec<_>>(), [200, 500]);
    board.run("ctr task exec --exec-id health site ssr health");
    let failed = board.try_run("ctr task exec --exec-id failed site ssr health /throw", COMPILE);
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    let refused = board.try_run("ctr task exec --exec-id shell site /bin/sh", COMPILE);
    assert_ne!(refused.code, 0);
    let log = board.run("cat /tmp/site.log");
    assert!(log.contains("logged: hello") && log.contains("this page always fails"), "{log}");
}

#[test]
fn a_stopped_site_exits_with_0_and_a_killed_one_with_137() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run(&format!("start {fixture} site 8080"));
    // A request that is under way is answered first.
    let output = board.run(
        "ask -w 300 8080 / >/dev/null\n\
         ask 8080 '/slow?ms=3000' >/tmp/slow &\n\
         sleep 1\n\
         stop site\n\
         wait $! && cat /tmp/slow",
    );
    assert!(output.starts_with("0\n200 "), "{output}");
    assert!(output.contains("slept 3000 ms"), "{output}");

    board.run(&format!("start {fixture} site 8080; ask -w 300 8080 / >/dev/null"));
    assert_eq!(board.run("ctr task kill -s SIGKILL site; stopped site; remove site"), "137\n");
}

#[test]
fn a_site_out_of_memory_is_killed_with_137_and_an_event() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run("ctr events >/tmp/events 2>&1 &");
    board.run(&format!(
        "start {fixture} site 8080 --memory-limit 33554432 --env SSR_RENDER_MEMORY_LIMIT=90MiB --env SSR_RENDER_TIMEOUT=5m"
    ));
    assert_eq!(ask(&mut board, 8080, &["/"])[0].0, 200);
    let output = board.run("ask 8080 /oom >/dev/null 2>&1 || true\nstopped site\nremove site");
    assert_eq!(output, "137\n", "{}", board.run("cat /tmp/site.log"));
    let events = board.run("sleep 1; killall ctr; cat /tmp/events");
    assert!(events.lines().any(|line| line.contains("/tasks/oom") && line.contains("site")), "{events}");
}

#[test]
fn a_page_that_needs_too_much_memory_fails_alone() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run(&format!(
        "start {fixture} site 8080 --env SSR_RENDER_MEMORY_LIMIT=16MiB --env SSR_RENDER_TIMEOUT=5m"
    ));
    let pages = ask(&mut board, 8080, &["/oom", "/recurse", "/"]);
    assert_eq!(pages.iter().map(|page| page.0).collect::<Vec<_>>(), [500, 500, 200], "{pages:?}");
}

#[test]
fn a_page_that_loops_is_ended_and_the_next_one_is_answered() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run(&format!("start {fixture} site 8080 --env SSR_RENDER_TIMEOUT=2s"));
    let pages = ask(&mut board, 8080, &["/loop", "/number?n=12"]);
    assert_eq!(pages[0].0, 504);
    assert!(pages[1].1.contains("12 squared is 144"), "{pages:?}");
}

#[test]
fn replicas_answer_beside_each_other() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    board.run(&format!("start {fixture} one 8081; start {fixture} two 8082"));
    for port in [8081, 8082] {
        assert!(ask(&mut board, port, &["/number?n=7"])[0].1.contains("7 squared is 49"));
    }
    assert_eq!(board.run("stop one"), "0\n");
    assert_eq!(ask(&mut board, 8082, &["/"])[0].0, 200);
    assert_eq!(board.run("stop two"), "0\n");
}

#[test]
fn twenty_starts_and_stops_leave_nothing_behind() {
    let mut board = Board::get();
    let fixture = board.fixture().to_owned();
    let round = format!(
        "start {fixture} site 8080; ask -w 300 8080 / >/dev/null; [ \"$(stop site)\" = 0 ]; rm /tmp/site.log"
    );
    // containerd keeps directories that its first container has made.
    board.run(&format!("{round}; sleep 2; left | sort >/tmp/before"));
    for _ in 0..4 {
        board.run(&format!("for _ in 1 2 3 4 5; do {round}; done"));
    }
    let difference = board.run(
        "for _ in $(seq 30); do\n\
           left | sort >/tmp/after\n\
           if cmp -s /tmp/before /tmp/after; then break; fi\n\
           sleep 1\n\
         done\n\
         diff /tmp/before /tmp/after || true",
    );
    assert_eq!(difference, "", "left behind");
}

#[test]
fn a_module_of_another_engine_is_compiled_once_and_names_its_back_end() {
    let mut board = Board::get();
    let (image, expected) = (board.to_compile().to_owned(), board.back_end_of_others());
    let processor = board.processor();
    let mut took = Vec::new();
    for _ in 0..2 {
        let output = board.run_within(
            &format!(
                "before=$(now); start {image} site 8080; ask -w 1700 8080 /server; echo \"$before $(now)\"; stop site >/dev/null"
            ),
            COMPILE,
        );
        assert!(output.contains(&format!("{processor} {expected}")), "{output}");
        took.push(seconds_between(output.lines().last().expect("times")));
    }
    println!(
        "{}: compiled and answered after {:.1} s, the second time {:.1} s",
        board.name(),
        took[0],
        took[1]
    );
    assert!(took[1] < took[0], "{took:?}");
}

#[test]
fn a_linux_program_runs_under_runc() {
    let mut board = Board::get();
    let output = board.run(
        "mkdir -p /tmp/root/bin; cp /bin/busybox /tmp/root/bin\n\
         ctr run --rm --runtime io.containerd.ssr.v1 --rootfs /tmp/root linux /bin/busybox uname -m",
    );
    assert!(output.starts_with(board.processor()), "{output}");
}

/// The time between two of the board's, which are on a line.
pub(super) fn seconds_between(line: &str) -> f64 {
    let times: Vec<f64> = line.split_whitespace().map(|time| time.parse().expect("a time")).collect();
    times[1] - times[0]
}
