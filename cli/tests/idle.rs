//! What a site that nobody asks gives back, and that it answers as before.

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::Server;

/// A render that writes to 8 MB of memory, of which it sees only what it wrote itself.
const SITE: &str = "
    let count = 0;
    const rows = Array.from({ length: 5000 }, (_, row) => ({ row, cells: [row, row + 1] }));
    export const render = () => {
        count += 1;
        for (const row of rows) row.seen = (row.seen ?? 0) + count;
        const garbage = Array.from({ length: 50000 }, (_, n) => 'text ' + n);
        return `<p>${count} ${rows[4999].seen} ${rows.at(-1).cells} ${garbage.length}`;
    };";
const PAGE: &str = "<p>1 1 4999,5000 50000";

/// The longest that a site may take to give memory back.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_site_gives_the_memory_of_its_renders_back_before_its_thread_ends_and_renders_as_before() {
    let server = Server::start(SITE, &[], &[]);
    for round in 0..3 {
        for _ in 0..5 {
            assert_eq!(server.get("/").text(), PAGE, "in round {round}");
        }
        let busy = server.memory();
        let since = Instant::now();
        while server.memory() + 1500 > busy {
            assert!(since.elapsed() < SOON, "round {round}: {} of {busy} kB are left", server.memory());
            sleep(Duration::from_millis(50));
        }
        assert_eq!(server.render_threads(), 1);
    }
}
