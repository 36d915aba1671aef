//! What happens to visitors, and to pods, when a cluster's parts are replaced under them.
//!
//! Requests go through kube-proxy, which learns of a pod's end as an ingress controller does,
//! or later.

use std::thread;
use std::time::Duration;

use ssr_e2e::manifests::Manifests;
use ssr_e2e::{Image, Kubernetes, http, shell};

const SITE: &str = "app.kubernetes.io/name=site";

/// Applies the shipped manifests, without the objects that this version of Kubernetes lacks,
/// with two pods.
fn with_site() -> Kubernetes {
    let node = Kubernetes::start();
    node.apply(&Manifests::render("k8s"));
    node.kubectl(["scale", "deployment/site", "--replicas=2"]);
    node.wait_for_rollout("site");
    // kube-proxy may learn of the service later than we.
    let url = format!("http://{}/", node.service("site"));
    let answer = node.in_network(|| shell::poll(|| http::try_get(&url).ok()));
    assert!(answer.is_some(), "{}", node.describe_pods());
    node
}

#[test]
fn a_rolling_update_loses_no_request() {
    let node = with_site();
    let url = format!("http://{}/", node.service("site"));
    let traffic = node.under_traffic(&[url], || {
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

#[test]
fn replacing_what_is_below_pods_does_not_disturb_them() {
    let node = with_site();
    let pods = node.pods(SITE);
    // Not through kube-proxy: a kubelet that has been restarted calls pods unready until it has
    // probed them, whatever their runtime.
    let urls: Vec<String> =
        pods.iter().map(|pod| format!("http://{}:8080/", node.pod(pod, "{.status.podIP}"))).collect();
    let traffic = node.under_traffic(&urls, || {
        for process in ["containerd", "kubelet"] {
            node.kill(process);
            node.wait_until_pods_run(&pods);
        }
        node.upgrade_shim();
        // As an upgrade does it.
        node.kill("containerd");
        node.wait_until_pods_run(&pods);
    });
    eprintln!("{} requests answered, {} lost", traffic.answered, traffic.lost.len());
    assert!(traffic.lost.is_empty(), "{:#?}", traffic.lost);
    for pod in &pods {
        assert_eq!(node.pod(pod, "{.status.containerStatuses[0].restartCount}"), "0");
        assert!(node.kubectl(["logs", pod]).contains("listening on"));
    }

    // The new shim takes the old one's pods away, and runs new ones.
    let old = node.shims();
    node.kubectl(["rollout", "restart", "deployment/site"]);
    node.wait_for_rollout("site");
    let gone = shell::poll(|| node.shims().iter().all(|shim| !old.contains(shim)).then_some(()));
    assert!(gone.is_some(), "{}", node.describe_pods());
}

#[test]
fn draining_a_node_lets_requests_complete() {
    let node = Kubernetes::start();
    let image = Image::from_fixture("site.js");
    node.import(&image.path(), image.platform());
    // The tests' site has a slow page. What the manifests probe, it does not have.
    let text = Manifests::render("k8s").text;
    let slow = text.replace("docker.io/library/site:latest", image.name()).replace("/robots.txt", "/");
    node.apply(&Manifests::parse(slow));
    node.kubectl(["scale", "deployment/site", "--replicas=2"]);
    node.wait_for_rollout("site");

    let url = format!("http://{}/slow?ms=4000", node.service("site"));
    thread::scope(|scope| {
        let visits: Vec<_> = (0..4).map(|_| scope.spawn(|| node.in_network(|| http::get(&url)))).collect();
        thread::sleep(Duration::from_secs(1));
        // This kubelet may take a minute to forget a pod whose containers have ended.
        node.kubectl(["drain", "node", "--ignore-daemonsets", "--timeout=150s"]);
        for visit in visits {
            let answer = visit.join().expect("an answer");
            assert_eq!((answer.status, answer.body.contains("slept 4000 ms")), (200, true), "{answer:?}");
        }
    });
    let pending = node.kubectl(["get", "pods", "-l", SITE, "-o", "jsonpath={.items[*].status.phase}"]);
    assert_eq!(pending, "Pending Pending");
    node.kubectl(["uncordon", "node"]);
    node.wait_for_rollout("site");
}
