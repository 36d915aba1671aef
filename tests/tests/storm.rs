//! A thousand requests, three in ten of them hostile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssr_e2e::{Container, Lab, http};

const REQUESTS: usize = 1000;
const CLIENTS: usize = 16;

/// Pages for warming up: after that, what the server keeps is what it keeps.
const WARM_UP: usize = 50;

#[test]
fn hostile_pages_harm_neither_the_good_ones_nor_the_memory() {
    let lab = Lab::start();
    let site = lab.site().env("SSR_RENDER_TIMEOUT", "500ms").env("SSR_RENDER_MEMORY", "64MiB").start();

    for n in 0..WARM_UP {
        assert!(good(&site, n));
    }
    // Hostile pages too: the pool's slots are all touched once.
    for path in ["/loop", "/throw", "/oom"] {
        hostile(&site, path);
    }
    let before = site.pss();

    let next = AtomicUsize::new(0);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= REQUESTS {
                        break;
                    }
                    match n % 10 {
                        1 => hostile(&site, "/loop"),
                        4 => hostile(&site, "/throw"),
                        7 => hostile(&site, "/oom"),
                        _ => {
                            assert!(good(&site, n));
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(served.into_inner(), REQUESTS * 7 / 10);

    // One instance's worth of memory is the limit of what may linger: more would
    // grow from storm to storm.
    let allowed = before + 16 * 1024;
    let after = ssr_e2e::shell::poll(|| Some(site.pss()).filter(|pss| *pss <= allowed));
    let after = after.unwrap_or_else(|| panic!("{before} KiB grew to {} KiB", site.pss()));
    println!("{before} KiB before the storm, {after} KiB after it");

    let ended = site.stop();
    assert_eq!(ended.code, 0, "{}", ended.log);
}

/// Asks for a page until the server has room for it, and checks the page.
fn good(site: &Container, n: usize) -> bool {
    let page = ssr_e2e::shell::poll(|| {
        let page = http::get(&site.url(&format!("/number?n={n}")));
        if page.status == 503 {
            // Full, and it says when to come back: not a wrong answer.
            assert!(!page.header("retry-after").is_empty());
            return None;
        }
        Some(page)
    })
    .expect("room for a page");
    assert_eq!(page.status, 200, "{}", page.body);
    page.body.contains(&format!("{n} squared is {}", n * n))
}

/// A hostile page must fail, as a server's error.
fn hostile(site: &Container, path: &str) {
    let status = site.get(path).status;
    assert!((500..=504).contains(&status), "{path}: {status}");
}
