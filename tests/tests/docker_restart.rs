//! A site keeps running while Docker's daemons are replaced or fail.

use ssr_e2e::{Docker, http, shell};

/// Runs a site, restarts a daemon, and uses the site in every way.
fn site_outlives(restart: fn(&Docker)) {
    let docker = Docker::start();
    let web = docker.named("web");
    let port = http::free_port();
    let url = format!("http://127.0.0.1:{port}/");
    docker.sh(&format!("docker run -d --name web --network host -e SSR_LISTEN=127.0.0.1:{port} $site"));
    shell::poll(|| http::try_get(&url).ok()).expect("an answer");
    let pid = web.inspect("{{.State.Pid}}");

    restart(&docker);
    assert_eq!(http::get(&url).status, 200);
    assert_eq!(web.inspect("{{.State.Status}} {{.State.Pid}}"), format!("running {pid}"));
    // dockerd needs a while to connect to the new containerd.
    let health = || (docker.try_sh("docker exec web ssr health").code == 0).then_some(());
    assert!(shell::poll(health).is_some(), "{}", docker.try_sh("docker exec web ssr health").stderr);
    docker.sh("docker top web");
    assert_eq!(http::get(&format!("{url}log?text=needle")).status, 200);
    web.wait_for_log("logged: needle");
    docker.sh("docker stop web");
    assert_eq!(web.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
}

#[test]
fn a_site_outlives_a_restart_of_dockerd() {
    site_outlives(Docker::restart_dockerd);
}

#[test]
fn a_site_outlives_a_killed_containerd() {
    site_outlives(Docker::restart_containerd);
}
