//! The shipped manifests on a node of Kubernetes: what a person does with a site there.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use ssr_e2e::manifests::Manifests;
use ssr_e2e::{Kubernetes, http, leaks, shell};

const SITE: &str = "app.kubernetes.io/name=site";

/// Objects of versions that Kubernetes 1.20 does not have. `k8s_manifests` checks them against
/// the schemas of the newest one.
const NEWER: [&str; 2] = ["PodDisruptionBudget", "HorizontalPodAutoscaler"];

#[test]
fn the_shipped_manifests_run_a_site_that_can_be_operated() {
    let node = Kubernetes::start();
    let newer = node.apply(&Manifests::render("k8s"));
    eprintln!("not applied, because Kubernetes 1.20 does not know their API versions: {newer:?}");
    assert_eq!(newer, NEWER);
    node.wait_for_rollout("site");
    let pods = node.pods(SITE);
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };

    // What the RuntimeClass adds to a pod.
    assert_eq!(node.pod(pod, "{.spec.overhead.memory}"), "6Mi");
    assert_eq!(node.pod(pod, "{.spec.nodeSelector.containerd-shim-ssr}"), "ready");
    assert_overhead_is_enough(&node);

    let url = format!("http://{}/", node.service("site"));
    let page = node.in_network(|| http::get(&url));
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);

    let log = node.kubectl(["logs", pod]);
    assert!(log.contains("listening on"), "{log}");
    let health = node.try_kubectl(["exec", pod, "--", "ssr", "health"]);
    assert_eq!(health.code, 0, "{}{}", health.stdout, health.stderr);
    let missing = node.try_kubectl(["exec", pod, "--", "sh"]);
    assert_ne!(missing.code, 0);
    assert!(missing.stderr.contains("sh"), "{}", missing.stderr);

    let forwarded = forward(&node, "service/site", 18080);
    let answered = node.in_network(|| {
        shell::poll(|| http::try_get("http://127.0.0.1:18080/").ok().filter(|answer| answer.status == 200))
    });
    end(forwarded);
    assert!(answered.is_some_and(|page| page.body.contains("<html")));

    assert_metrics(&node, &url);
    assert_nothing_is_left(&node);
}

fn forward(node: &Kubernetes, what: &str, port: u16) -> Child {
    let mut command = node.kubectl_command(["port-forward", what, &format!("{port}:80")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("kubectl")
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The memory of the shim and of the process that holds the pod's namespaces: their own
/// pages, and their share of those that they have in common with others.
fn assert_overhead_is_enough(node: &Kubernetes) {
    let shims = node.shims();
    let [shim] = shims.as_slice() else { panic!("{shims:?}") };
    let pause = leaks::children(*shim).into_iter().find(|pid| leaks::command(*pid).contains("pause"));
    let processes = [*shim, pause.expect("a process that holds the namespaces")];
    let kilobytes: u64 = processes.iter().map(|pid| proportional_set(*pid)).sum();
    eprintln!("the shim and the pause process take {kilobytes} KB");
    assert!(kilobytes < 6144, "{kilobytes} KB, more than the overhead in k8s/runtime/runtimeclass.yaml");
}

fn proportional_set(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a figure");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// What `kubectl top` and the autoscaler are told.
fn assert_metrics(node: &Kubernetes, url: &str) {
    let traffic = node.under_traffic(&[url.to_owned()], || std::thread::sleep(Duration::from_secs(5)));
    assert!(traffic.lost.is_empty(), "{:#?}", traffic.lost);
    // kubelet collects them every ten seconds or so.
    let seen = shell::poll(|| {
        let metrics = node.kubelet("/metrics/resource");
        let of_site = |name: &str| {
            let line =
                metrics.lines().find(|line| line.starts_with(name) && line.contains("container=\"site\""))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let processor = of_site("container_cpu_usage_seconds_total")?;
        let memory = of_site("container_memory_working_set_bytes")?;
        (processor > 0.05 && memory > 500_000.0).then_some((processor, memory))
    });
    let seen = seen.unwrap_or_else(|| panic!("{}", node.kubelet("/metrics/resource")));
    eprintln!("kubelet reports {} s of processor time and {} bytes of memory", seen.0, seen.1);

    let summary = || -> Value {
        let summary: Value = serde_json::from_str(&node.kubelet("/stats/summary")).expect("JSON");
        let pods = summary["pods"].as_array().expect("pods");
        pods.iter().find(|pod| pod["containers"][0]["name"] == "site").expect("the site's pod").clone()
    };
    let figures = [
        "/memory/workingSetBytes",
        "/cpu/usageCoreNanoSeconds",
        "/network/rxBytes",
        "/containers/0/memory/workingSetBytes",
        "/containers/0/cpu/usageCoreNanoSeconds",
    ];
    let missing = |pod: &Value| -> Vec<&str> {
        let is_missing =
            |figure: &&str| pod.pointer(figure).and_then(Value::as_u64).is_none_or(|count| count == 0);
        figures.into_iter().filter(is_missing).collect()
    };
    let complete = shell::poll(|| missing(&summary()).is_empty().then_some(()));
    assert!(complete.is_some(), "kubelet says nothing of {:?} in {:#}", missing(&summary()), summary());
}

/// A pod that is deleted ends in its own time, and leaves no process.
fn assert_nothing_is_left(node: &Kubernetes) {
    node.kubectl(["delete", "deployment/site", "--wait"]);
    let gone = shell::poll(|| node.pods(SITE).is_empty().then_some(()));
    assert!(gone.is_some(), "{}", node.describe_pods());
    let clean = shell::poll(|| node.shims().is_empty().then_some(()));
    assert!(clean.is_some(), "shims are left: {:?}", node.shims());
}

#[test]
fn the_overlays_are_accepted_and_small_pods_serve() {
    let node = Kubernetes::start();
    assert_eq!(node.apply(&Manifests::render("k8s/overlays/pi-zero")), NEWER);
    node.wait_for_rollout("site");
    let url = format!("http://{}/", node.service("site"));
    let traffic = node.under_traffic(&[url], || std::thread::sleep(Duration::from_secs(10)));
    assert!(traffic.lost.is_empty() && traffic.answered > 200, "{traffic:#?}");
    let pods = node.pods(SITE);
    assert_eq!(node.pod(&pods[0], "{.status.containerStatuses[0].restartCount}"), "0");
    assert_eq!(node.pod(&pods[0], "{.spec.containers[0].resources.limits.memory}"), "48Mi");

    // Its image is not here, so no node gets the label: it is only applied.
    node.kubectl(["label", "node", "node", "containerd-shim-ssr-"]);
    let newer = node.apply(&Manifests::render("k8s/overlays/installer"));
    assert!(newer.is_empty(), "{newer:?}");
    let wanted = "{.status.desiredNumberScheduled}";
    let observed = shell::poll(|| {
        let seen = node.kubectl([
            "get",
            "-n",
            "containerd-shim-ssr",
            "daemonset/installer",
            "-o",
            "jsonpath={.status.observedGeneration}",
        ]);
        (seen == "1").then_some(())
    });
    assert!(observed.is_some(), "the DaemonSet is not looked at");
    let pods = node.kubectl([
        "get",
        "-n",
        "containerd-shim-ssr",
        "daemonset/installer",
        "-o",
        &format!("jsonpath={wanted}"),
    ]);
    assert_eq!(pods, "0", "it runs on nodes that nobody has labelled");
}
