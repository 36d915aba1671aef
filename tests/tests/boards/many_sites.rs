//! Many sites on one board.

use std::time::Duration;

use ssr_e2e::Board;
use ssr_e2e::board::heading;

use super::ask;

/// For importing and starting all of them on an emulated processor.
const ALL: Duration = Duration::from_secs(3600);

const FIRST_PORT: u16 = 9000;

/// A hundred with 64 bits. A board of 32 bits takes its time to start one, so there are few.
#[test]
fn many_different_sites_answer_beside_each_other() {
    let mut board = Board::get();
    let sites = board.different_sites();
    board.run_within(
        "for archive in /files/sites/*.tar; do ctr image import --platform wasi/wasm $archive; rm $archive; done",
        ALL,
    );
    let available =
        "sync; echo 3 >/proc/sys/vm/drop_caches; awk '/^MemAvailable:/ { print $2 }' /proc/meminfo";
    let number = |text: String| -> u64 { text.trim().parse().expect("a number") };
    let before = number(board.run(available));
    for (port, site) in (FIRST_PORT..).zip(&sites) {
        board.run(&format!("start {site} s{port} {port}"));
    }
    let mut pages = Vec::new();
    for port in (FIRST_PORT..).take(sites.len()) {
        pages.extend(ask(&mut board, port, &["/"]));
    }
    for (n, (status, page)) in pages.iter().enumerate() {
        assert!(*status == 200 && page.contains(&heading(n)), "site {n}: {status} {page}");
    }
    assert_eq!(number(board.run("ours | wc -l")), 2 * sites.len() as u64, "shims and servers");
    // Until the last one, too, has given back what its page needed.
    let pss = number(board.run("sleep 15; pss"));
    let after = number(board.run(available));
    let count = sites.len() as u64;
    println!(
        "{}: {count} different sites: PSS {} KiB, {} KiB each; available memory went from {} to {} MiB",
        board.name(),
        pss,
        pss / count,
        before / 1024,
        after / 1024
    );
    for port in (FIRST_PORT..).take(sites.len()) {
        assert_eq!(board.run(&format!("stop s{port}")), "0\n");
    }
    assert!(pss / count < 2 * 1024, "{} KiB each", pss / count);
}
