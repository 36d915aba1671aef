//! A site as a container: `ctr run`, requests, logs, `ctr task kill`.

use std::thread;

use ssr_e2e::{Containerd, http, shell};

#[test]
fn the_container_answers_with_a_page_rendered_by_its_module() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    let page = site.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.body.contains("<h1>hello from the module</h1>"));

    let page = site.get("/number?n=12");
    assert!(page.body.contains("12 squared is 144"), "{}", page.body);

    assert_eq!(site.get("/nowhere").status, 404);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn assets_are_served_from_the_image() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    let asset = site.get("/hello.txt");
    assert_eq!(asset.status, 200);
    assert_eq!(asset.body, "hello from the assets\n");
    assert!(asset.header("content-type").starts_with("text/plain"));
}

#[test]
fn the_containers_environment_reaches_the_page() {
    let containerd = Containerd::shared();
    let site = containerd.site().env("GREETING", "grüezi=42").start();

    let page = site.get("/env");
    assert!(page.body.contains("greeting: grüezi=42"), "{}", page.body);
}

#[test]
fn what_a_page_logs_appears_in_the_containers_log() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    assert_eq!(site.get("/log?text=needle").status, 200);
    site.wait_for_log("logged: needle");
}

#[test]
fn a_failing_page_fails_one_request_and_is_logged() {
    let containerd = Containerd::shared();
    let site =
        containerd.site().env("SSR_RENDER_TIMEOUT", "500ms").env("SSR_RENDER_MEMORY_LIMIT", "64MiB").start();

    for (path, status) in [("/throw", 500), ("/recurse", 500), ("/oom", 500), ("/loop", 504), ("/never", 504)]
    {
        let page = site.get(path);
        assert_eq!(page.status, status, "{path}: {}", site.log());
        site.wait_for_log(path);
        assert_eq!(site.get("/").status, 200, "after {path}");
    }
    assert!(site.log().contains("this page always fails"));
    assert_eq!(site.stop().code, 0);
}

#[test]
fn sigterm_lets_an_in_flight_request_finish_and_the_exit_code_is_0() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    let url = site.url("/slow?ms=2000");
    let request = thread::spawn(move || http::try_get(&url));
    // The page logs this before it sleeps: the request is in flight when the signal comes.
    site.wait_for_log("sleeping 2000 ms");
    assert!(!request.is_finished(), "the answer came before the signal");
    let exited = site.stop();

    let page = request.join().unwrap().expect("an answer");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("slept 2000 ms"), "{}", page.body);
    assert_eq!(exited.code, 0, "{}", exited.log);
}

#[test]
fn other_images_stop_signals_stop_the_container_as_sigterm_does() {
    let containerd = Containerd::shared();
    for signal in ["SIGINT", "SIGQUIT", "SIGHUP"] {
        let site = containerd.site().start();
        site.kill(signal);
        let exited = site.wait();
        assert_eq!(exited.code, 0, "{signal}: {}", exited.log);
        assert!(exited.log.contains(&format!("{signal}: draining")), "{}", exited.log);
    }
}

#[test]
fn sigkill_makes_the_container_exit_with_137() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    site.kill("SIGKILL");
    assert_eq!(site.wait().code, 137);
}

#[test]
fn two_containers_of_one_image_run_side_by_side() {
    let containerd = Containerd::shared();
    let one = containerd.site().env("GREETING", "one").start();
    let two = containerd.site().env("GREETING", "two").start();

    assert!(one.get("/env").body.contains("greeting: one"));
    assert!(two.get("/env").body.contains("greeting: two"));
    assert_eq!(one.stop().code, 0);
    assert!(two.get("/env").body.contains("greeting: two"));
    assert_eq!(two.stop().code, 0);
}

#[test]
fn the_container_runs_on_a_read_only_root() {
    let containerd = Containerd::shared();
    let site = containerd.site().option("--read-only").start();

    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn the_container_runs_as_the_images_user() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();

    assert_eq!(site.get("/").status, 200);
    let status = site.proc("status");
    assert!(status.contains("Uid:\t65532\t65532"), "{status}");
}

#[test]
fn the_loopback_interface_of_a_containers_own_network_is_up() {
    let containerd = Containerd::shared();
    let site = containerd.site().own_network().detach();
    let healthy = || (site.exec(&["ssr", "health"]).code == 0).then_some(());
    assert!(shell::poll_for(shell::COMPILE_TIMEOUT, healthy).is_some(), "{}", site.log());
}
