//! A site without a container engine, and what systemd would give it: boards that have neither.

use ssr_e2e::Board;

use super::{ask, assert_pages_equal_nodes};

/// What packaging/systemd sets, as far as it is not systemd's own.
const SERVE: &str = "export XDG_CACHE_HOME=/var/cache/site SSR_LISTEN=127.0.0.1:8090";

#[test]
fn an_archive_is_served_and_its_pages_equal_those_of_node() {
    let mut board = Board::get();
    board.run(&format!("{SERVE}\nssr serve /files/site.tar >/tmp/serve.log 2>&1 &"));
    assert_pages_equal_nodes(&mut board, 8090);
    let code = board
        .try_run("pid=$(pidof ssr); kill -TERM $pid; while [ -d /proc/$pid ]; do sleep 0.1; done", LIMIT);
    assert_eq!(code.code, 0, "{}", board.run("cat /tmp/serve.log"));
    let left = board.run("ls /var/cache/site/containerd-shim-ssr-unpacked");
    assert_eq!(left, "", "the files of the archive");
}

#[test]
fn a_supervisor_hands_over_its_socket_and_hears_when_the_site_is_ready_and_stops() {
    let mut board = Board::get();
    board.run(&format!(
        "{SERVE}\nsupervise 8091 ssr serve /files/fixture.tar >/tmp/reports 2>/tmp/serve.log &"
    ));
    // systemd listens before the site does: the request waits.
    assert_eq!(ask(&mut board, 8091, &["/"])[0].0, 200);
    let reports = board.run("cat /tmp/reports");
    assert!(reports.lines().any(|line| line == "READY=1"), "{reports}\n{}", board.run("cat /tmp/serve.log"));
    let ended = board.run(
        "ask 8091 '/slow?ms=3000' >/tmp/slow &\n\
         slow=$!\n\
         sleep 1\n\
         kill -TERM $(pidof supervise)\n\
         wait $slow\n\
         cat /tmp/slow\n\
         while pidof supervise >/dev/null; do sleep 0.1; done\n\
         cat /tmp/reports",
    );
    assert!(ended.contains("slept 3000 ms"), "the request under way is answered: {ended}");
    assert!(ended.contains("STOPPING=1") && ended.ends_with("exit 0\n"), "{ended}");
}

#[test]
fn a_damaged_archive_is_refused_with_65() {
    let mut board = Board::get();
    let refused = board.try_run(
        &format!("{SERVE}\nhead -c 100000 /files/fixture.tar >/tmp/broken.tar; ssr serve /tmp/broken.tar"),
        LIMIT,
    );
    assert_eq!(refused.code, 65, "{}{}", refused.stdout, refused.stderr);
}

#[test]
fn a_site_needs_no_more_addresses_than_a_small_board_has() {
    let mut board = Board::get();
    // 39 bits, as kernels for 64-bit boards have; a third of what a 32-bit process has.
    let limit: u64 = if board.is_64_bit() { 1 << 39 } else { 1 << 30 };
    let output = board.run(&format!(
        "{SERVE}\n\
         (ulimit -v {}; exec ssr serve /files/site.tar) >/tmp/serve.log 2>&1 &\n\
         ask -w 300 8090 / >/dev/null || {{ cat /tmp/serve.log; exit 1; }}\n\
         sed -n 's/^VmPeak:[^0-9]*//p' /proc/$(pidof ssr)/status",
        limit / 1024
    ));
    let kib: u64 = output.split_whitespace().next().and_then(|peak| peak.parse().ok()).expect("VmPeak");
    println!("{}: addresses in use by one site at most: {} MiB", board.name(), kib / 1024);
    assert!(kib * 1024 <= limit);
}

/// The limit for what must not hang.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);
