//! What a site costs on a board. Sizes and memory are those of a real one; times are the
//! emulator's, and only their ratio says something.

use ssr_e2e::Board;
use ssr_e2e::board::SITE;

use super::containers::seconds_between;

/// Bounds for what a board of 512 MB can have several of; they catch faults, not a few pages more.
const PSS_AT_REST_KIB: u64 = 4 * 1024;
const PSS_BUSY_KIB: u64 = 12 * 1024;

/// When a site has given back what renders have used.
const IDLE: &str = "sleep 15";

#[test]
fn a_site_takes_a_few_megabytes_and_gives_back_what_visitors_needed() {
    let mut board = Board::get();
    let system = board.run("uname -r; ssr node check || true; free -m");
    println!("{}: {system}", board.name());
    let size = board.run("stat -c %s /files/bin/containerd-shim-ssr-v1");
    // As on a node that has never seen the site.
    let start = format!(
        "before=$(now); start {SITE} site 8080; ask -w 600 8080 / >/dev/null; echo \"$before $(now)\""
    );
    let first = board.run(&format!("rm -rf /var/lib/containerd/io.containerd.ssr.v1; {start}"));
    board.run("stop site");
    let second = board.run(&start);
    assert_eq!(board.run("ours | wc -l"), "2\n", "a shim and a server");
    let mut pss = |script: &str| -> u64 { board.run(script).trim().parse().expect("a number") };
    let at_rest = pss(&format!("{IDLE}; pss"));
    let busy = pss("ask -n 200 8080 / && pss");
    let idle = pss(&format!("{IDLE}; pss"));
    println!(
        "{}: the program has {:.1} MB; from ctr run to the first page {:.1} s, the second time {:.1} s; \
         PSS of shim and server {at_rest} KiB at rest, {busy} KiB after 200 pages, {idle} KiB 15 s later",
        board.name(),
        size.trim().parse::<f64>().expect("a size") / 1e6,
        seconds_between(&first),
        seconds_between(&second),
    );
    assert!(at_rest < PSS_AT_REST_KIB && idle < PSS_AT_REST_KIB, "{at_rest} {idle}");
    assert!(busy < PSS_BUSY_KIB, "{busy}");
}
