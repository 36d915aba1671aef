//! What happens to visitors, and to pods, when a cluster's parts are replaced under them.

use std::thread;
use std::time::Duration;

use ssr_e2e::Kubernetes;
use ssr_e2e::manifests::Manifests;

/// Applies the shipped manifests, without the objects that this version of Kubernetes lacks,
/// with two pods.
fn with_site() -> Kubernetes {
    let node = Kubernetes::start();
    node.apply(&Manifests::render("k8s"));
    node.kubectl(["scale", "deployment/site", "--replicas=2"]);
    node.wait_for_rollout("site");
    node
}

#[test]
fn a_rolling_update_loses_no_request() {
    let node = with_site();
    let url = format!("http://{}/", node.service("site"));
    let traffic = node.under_traffic(&url, || {
        for _ in 0..3 {
            thread::sleep(Duration::from_secs(3));
            node.kubectl(["rollout", "restart", "deployment/site"]);
            node.wait_for_rollout("site");
        }
        // The last of the old pods are still being stopped.
        thread::sleep(Duration::from_secs(10));
    });
    eprintln!("{} requests answered, {} lost", traffic.answered, traffic.lost.len());
    assert!(traffic.lost.is_empty(), "{:#?}", traffic.lost);
    assert!(traffic.answered > 1000, "{}", traffic.answered);
}
