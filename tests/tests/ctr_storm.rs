//! A thousand requests, three in ten of them for hostile pages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssr_e2e::{Container, Containerd, http, shell};

const REQUESTS: usize = 1000;
const CLIENTS: usize = 16;

/// Pages for warming up. After them, the server's memory no longer grows with good pages.
const WARM_UP: usize = 50;

#[test]
fn hostile_pages_affect_neither_good_pages_nor_memory() {
    let containerd = Containerd::start();
    let site =
        containerd.site().env("SSR_RENDER_TIMEOUT", "500ms").env("SSR_RENDER_MEMORY_LIMIT", "64MiB").start();

    for n in 0..WARM_UP {
        assert!(good(&site, n));
    }
    // One of each hostile page too, so that the pool's memory has been touched once.
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

    // At most one instance's memory may stay in use: more would grow with every storm.
    let allowed = before + 16 * 1024;
    let after = shell::poll(|| Some(site.pss()).filter(|pss| *pss <= allowed));
    let after = after.unwrap_or_else(|| panic!("{before} KiB grew to {} KiB", site.pss()));
    println!("{before} KiB before the storm, {after} KiB after it");

    let exited = site.stop();
    assert_eq!(exited.code, 0, "{}", exited.log);
}

/// Asks for a page until the server has capacity for it. Returns whether it is right.
fn good(site: &Container, n: usize) -> bool {
    let page = shell::poll(|| {
        let page = http::get(&site.url(&format!("/number?n={n}")));
        if page.status == 503 {
            // The server is at capacity and says when to retry.
            assert!(!page.header("retry-after").is_empty());
            return None;
        }
        Some(page)
    })
    .expect("capacity for a page");
    assert_eq!(page.status, 200, "{}", page.body);
    page.body.contains(&format!("{n} squared is {}", n * n))
}

/// Asks for a hostile page, which must fail with a server error.
fn hostile(site: &Container, path: &str) {
    let status = site.get(path).status;
    assert!((500..=504).contains(&status), "{path}: {status}");
}
