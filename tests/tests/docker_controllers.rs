//! Under Docker, on kernels that lack cgroup controllers, as those of small boards do, and on
//! those that have them.

use std::process::Command;

use ssr_e2e::{Docker, http, shell};

/// Whether this machine has cgroup v1, whose hierarchies can be unmounted one by one.
fn has_hierarchies() -> bool {
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory").exists();
    if !v1 {
        println!("SKIPPED: this machine has cgroup v2 only, and its controllers cannot be taken away");
    }
    v1
}

#[test]
fn what_needs_no_controller_runs_without_it() {
    if !has_hierarchies() {
        return;
    }
    // In this mount namespace, which is the test's own.
    for controller in ["blkio", "hugetlb", "net_cls", "net_cls,net_prio", "net_prio", "perf_event"] {
        shell::run(Command::new("umount").arg(format!("/sys/fs/cgroup/{controller}")));
    }
    let docker = Docker::shared();
    let _web = docker.named("small-board");
    let port = http::free_port();
    docker.sh(&format!("docker run -d --name small-board -p 127.0.0.1:{port}:8080 $site"));
    let url = format!("http://127.0.0.1:{port}/");
    let answer = shell::poll(|| http::try_get(&url).ok()).expect("an answer");
    assert_eq!(answer.status, 200);
    docker.sh("docker update --memory 200m --memory-swap 200m small-board");
}
