//! Pods as a node of Kubernetes runs them: probes, several containers, and what
//! `kubectl describe` says when something is wrong.

use ssr_e2e::{Image, Kubernetes, shell};

/// A node that has the tests' site, and the image's name.
fn with_image() -> (Kubernetes, String) {
    let node = Kubernetes::start();
    node.apply_text(
        "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: ssr}\nhandler: ssr\n\
         scheduling: {nodeSelector: {containerd-shim-ssr: ready}}\n",
    );
    let image = Image::from_fixture("site.js");
    node.import(&image.path(), image.platform());
    (node, image.name().to_owned())
}

/// A pod with a site, called `site`. `more` is what else its container has, in YAML's flow
/// style, and `beside` are other fields of the pod.
fn pod(name: &str, image: &str, more: &str, beside: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  runtimeClassName: ssr\n  \
         enableServiceLinks: false\n  terminationGracePeriodSeconds: 5\n{beside}  containers:\n  - {{name: site, \
         image: \"{image}\", imagePullPolicy: Never, terminationMessagePolicy: FallbackToLogsOnError{more}}}\n"
    )
}

const RESTARTS: &str = "{.status.containerStatuses[?(@.name==\"site\")].restartCount}";

/// What `kubectl describe` says of a pod, as soon as it contains all the words.
fn description(node: &Kubernetes, pod: &str, words: &[&str]) -> String {
    let describe = || node.kubectl(["describe", "pod", pod]);
    let found = shell::poll_for(std::time::Duration::from_secs(120), || {
        Some(describe()).filter(|said| words.iter().all(|word| said.contains(word)))
    });
    found.unwrap_or_else(|| panic!("no {words:?} in:\n{}", describe()))
}

#[test]
fn probes_of_each_kind_tell_whether_a_site_is_well() {
    let (node, image) = with_image();
    let well = ", startupProbe: {exec: {command: [ssr, health]}, periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 5}, \
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}, \
        livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 5}";
    node.apply_text(&pod("well", &image, well, ""));
    node.wait_for_pod("well");

    // This page always fails, so the site is restarted, again and again.
    let ill = ", livenessProbe: {httpGet: {path: /throw, port: 8080}, periodSeconds: 1, failureThreshold: 2}";
    node.apply_text(&pod("ill", &image, ill, ""));
    let said = description(&node, "ill", &["Liveness probe failed: HTTP probe failed with statuscode: 500"]);
    let killed = "Container site failed liveness probe, will be restarted";
    assert!(said.contains(killed) || !description(&node, "ill", &[killed]).is_empty());
    let restarted = shell::poll(|| (node.pod("ill", RESTARTS) != "0").then_some(()));
    assert!(restarted.is_some(), "it is not restarted");

    // A port that nobody listens on, and a command that fails.
    let unready = ", readinessProbe: {tcpSocket: {port: 9}, periodSeconds: 1}";
    node.apply_text(&pod("unready", &image, unready, ""));
    description(&node, "unready", &["Readiness probe failed: dial tcp", "connection refused"]);
    let unhealthy =
        ", startupProbe: {exec: {command: [ssr, health, nonsense]}, periodSeconds: 1, failureThreshold: 100}";
    node.apply_text(&pod("unhealthy", &image, unhealthy, ""));
    let said = description(&node, "unhealthy", &["Startup probe failed:"]);
    assert!(said.contains("nonsense"), "{said}");

    assert_eq!(node.pod("well", RESTARTS), "0", "{}", node.kubectl(["describe", "pod", "well"]));
}

#[test]
fn sidecars_and_init_containers_are_ordinary_linux_containers() {
    let (node, image) = with_image();
    let linux = node.linux_image();
    // The first prepares what the site gets, the sidecar visits it on the pod's own network.
    let beside = format!(
        "  volumes: [{{name: shared, emptyDir: {{}}}}]\n  initContainers:\n  - {{name: prepare, image: \"{linux}\", \
         imagePullPolicy: Never, command: [sh, -c, 'echo prepared >/shared/note'], \
         volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n"
    );
    let sidecar = format!(
        "  - {{name: visitor, image: \"{linux}\", imagePullPolicy: Never, \
         command: [sh, -c, 'while ! wget -q -O /shared/page http://127.0.0.1:8080/; do sleep 1; done; \
         cat /shared/note /shared/page; echo; sleep 1000'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n"
    );
    let more = ", readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}, \
        volumeMounts: [{name: shared, mountPath: /dist/shared}]";
    node.apply_text(&(pod("together", &image, more, &beside) + &sidecar));
    node.wait_for_pod("together");

    let states = "{.status.initContainerStatuses[0].state.terminated.reason}";
    assert_eq!(node.pod("together", states), "Completed");
    let log = shell::poll(|| {
        let log = node.kubectl(["logs", "together", "-c", "visitor"]);
        log.contains("hello from the module").then_some(log)
    });
    assert!(log.expect("the sidecar reaches the site").contains("prepared"));
    // The site serves what the init container has written.
    let address = node.pod("together", "{.status.podIP}");
    let note = node.in_network(|| ssr_e2e::http::get(&format!("http://{address}:8080/shared/note")));
    assert_eq!(note.body, "prepared\n");
    let listed = node.kubectl(["exec", "together", "-c", "visitor", "--", "ls", "/shared"]);
    assert_eq!(listed, "note\npage\n");
    // One shim for all of them.
    assert_eq!(node.shims().len(), 1);
}

#[test]
fn describe_says_what_is_wrong_with_a_pod() {
    let (node, image) = with_image();

    // A render may use more than the container has.
    let small = ", env: [{name: SSR_RENDER_MEMORY_LIMIT, value: 1GiB}, {name: SSR_RENDER_TIMEOUT, value: 60s}], \
        resources: {limits: {memory: 48Mi}}, readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}";
    node.apply_text(&pod("small", &image, small, ""));
    node.wait_for_pod("small");
    let address = node.pod("small", "{.status.podIP}");
    let _ = node.in_network(|| ssr_e2e::http::try_get(&format!("http://{address}:8080/oom")));
    let said = description(&node, "small", &["OOMKilled"]);
    assert!(said.contains("Exit Code:    137"), "{said}");

    // A wrong setting: its name, the value, and what is accepted.
    let wrong = ", env: [{name: SSR_RENDER_THREADS, value: many}]";
    node.apply_text(&pod("wrong", &image, wrong, ""));
    let said = description(&node, "wrong", &["CrashLoopBackOff", "Back-off restarting failed container"]);
    assert!(said.contains("Exit Code:    78"), "{said}");
    for words in ["SSR_RENDER_THREADS", "many", "a whole number"] {
        assert!(said.contains(words), "no {words} in:\n{said}");
    }

    // A module that the image does not have.
    node.apply_text(&pod("absent", &image, ", command: [/nothing.wasm]", ""));
    description(&node, "absent", &["StartError", "'/nothing.wasm': no such file or directory in the image"]);

    // The node does not say that it has the shim.
    node.kubectl(["label", "node", "node", "containerd-shim-ssr-"]);
    node.apply_text(&pod("homeless", &image, "", ""));
    description(&node, "homeless", &["FailedScheduling", "didn't match Pod's node affinity"]);
}
