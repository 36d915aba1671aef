//! A site goes on while Docker's daemons are replaced or fail.

use ssr_e2e::{Docker, http, shell};

/// Runs a site, ends and starts a daemon, and does with the site what there is to do.
fn outlives(restart: fn(&Docker)) {
    let docker = Docker::start();
    let web = docker.named("web");
    let port = http::free_port();
    let url = format!("http://127.0.0.1:{port}/");
    docker.does(&format!("docker run -d --name web --network host -e SSR_LISTEN=127.0.0.1:{port} $site"));
    shell::poll(|| http::try_get(&url).ok()).expect("an answer");
    let pid = web.inspect("{{.State.Pid}}");

    restart(&docker);
    assert_eq!(http::get(&url).status, 200);
    assert_eq!(web.inspect("{{.State.Status}} {{.State.Pid}}"), format!("running {pid}"));
    // dockerd needs a while to connect to a new containerd.
    let health = || (docker.says("docker exec web ssr health").code == 0).then_some(());
    assert!(shell::poll(health).is_some(), "{}", docker.says("docker exec web ssr health").stderr);
    docker.does("docker top web");
    assert_eq!(http::get(&format!("{url}log?text=needle")).status, 200);
    web.wait_for_log("logged: needle");
    docker.does("docker stop web");
    assert_eq!(web.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
}

#[test]
fn dockerd_is_restarted() {
    outlives(Docker::restart_dockerd);
}

#[test]
fn containerd_is_killed() {
    outlives(Docker::restart_containerd);
}
