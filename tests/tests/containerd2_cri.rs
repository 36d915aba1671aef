//! Pods, as a kubelet creates them: one shim for a site, a Linux sidecar and the pause
//! container. They need containerd 2, whose configuration the tests write.

use std::time::Duration;

use ssr_e2e::cri::{Cri, Pod, PodContainer, Spec};
use ssr_e2e::{Containerd, http, leaks, shell};

const GRACE: Duration = Duration::from_secs(20);

/// GET as soon as there is an answer.
fn get(url: &str) -> http::Answer {
    shell::poll(|| http::try_get(url).ok()).unwrap_or_else(|| panic!("{url} does not answer"))
}

fn wait_for_log(container: &PodContainer, text: &str) {
    let found = shell::poll(|| container.log().contains(text).then_some(()));
    assert!(found.is_some(), "no {text:?} in the log: {}", container.log());
}

#[test]
fn a_site_and_a_sidecar_share_a_pod() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let host_port = http::free_port();
    let pod = cri.run_pod("web", &[(8080, host_port.into())]);
    let site = pod.start(
        containerd.site_image(),
        &Spec { name: "site", env: &[("GREETING", "pod")], memory: 200 << 20, ..Spec::default() },
    );
    let sidecar = pod.start(
        containerd.linux_image(),
        &Spec { name: "sidecar", command: &["sh", "-c", "echo beside; exec sleep 1000"], ..Spec::default() },
    );

    // By the pod's address, by the host's port, and from the sidecar.
    let ip = pod.ip();
    assert!(get(&format!("http://{ip}:8080/env")).body.contains("greeting: pod"));
    // The kernel does not forward packets from the loopback address to a bridge.
    let bridge = bridge_address();
    assert_eq!(get(&format!("http://{bridge}:{host_port}/")).status, 200);
    let beside = sidecar.exec(&["wget", "-qO-", "http://127.0.0.1:8080/"]).expect("an answer");
    assert!(String::from_utf8_lossy(&beside.stdout).contains("hello from the module"), "{beside:?}");
    assert_eq!(sidecar.exec(&["hostname"]).expect("an answer").stdout, b"web\n");

    // One shim for all three.
    let shims = leaks::descendants(containerd.init_pid()).into_iter().map(leaks::command);
    assert_eq!(shims.filter(|command| command.contains("containerd-shim")).count(), 1);

    // Probes, logs and statistics.
    let health = site.exec(&["ssr", "health"]).expect("an answer");
    assert_eq!(health.exit_code, 0, "{}", String::from_utf8_lossy(&health.stderr));
    let output = sidecar.exec(&["sh", "-c", "echo out; echo err >&2; exit 3"]).expect("an answer");
    assert_eq!((output.exit_code, &*output.stdout, &*output.stderr), (3, &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(get(&format!("http://{ip}:8080/log?text=needle")).status, 200);
    wait_for_log(&site, "logged: needle");
    wait_for_log(&sidecar, "stdout F beside");
    for container in [&site, &sidecar] {
        let stats = container.stats();
        assert!(stats.memory.as_ref().is_some_and(|memory| memory.working_set_bytes.unwrap().value > 0));
        assert!(stats.cpu.as_ref().is_some_and(|cpu| cpu.usage_core_nano_seconds.unwrap().value > 0));
    }
    assert_eq!(pod.count_stats(), 2);
    site.limit_memory(300 << 20);

    // The site outlives its sidecar.
    assert_eq!(sidecar.stop(Duration::ZERO), 137);
    sidecar.remove();
    assert_eq!(get(&format!("http://{ip}:8080/")).status, 200);
    assert_eq!(site.stop(GRACE), 0);
    site.remove();
    pod.stop();
}

#[test]
fn pods_of_one_site_share_its_compiled_code() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pods = ["one", "two"].map(|name| cri.run_pod(name, &[]));
    for pod in &pods {
        pod.start(containerd.site_image_to_compile(), &Spec { name: "site", ..Spec::default() });
        assert_eq!(get(&format!("http://{}:8080/", pod.ip())).status, 200);
    }
    assert_eq!((containerd.compilations(), containerd.cached_code().len()), (1, 1), "{}", containerd.log());
    pods.into_iter().for_each(Pod::stop);
}

#[test]
fn a_site_that_cannot_start_logs_why_and_can_be_retried_in_its_pod() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod("broken", &[]);
    let bad = Spec { name: "bad", env: &[("SSR_LISTEN", "nonsense")], ..Spec::default() };
    let site = pod.start(containerd.site_image(), &bad);
    assert_eq!(site.wait().exit_code, 78);
    wait_for_log(&site, "SSR_LISTEN");
    site.remove();

    let missing = Spec { name: "missing", command: &["/missing.wasm"], ..Spec::default() };
    let refused = pod.create(containerd.site_image(), &missing).and_then(|container| container.start());
    let message = refused.expect_err("a missing module starts").to_string();
    assert!(message.contains("/missing.wasm"), "{message}");

    let good = pod.start(containerd.site_image(), &Spec { name: "good", ..Spec::default() });
    assert_eq!(get(&format!("http://{}:8080/", pod.ip())).status, 200);
    assert_eq!(good.stop(GRACE), 0);
    pod.stop();
}

#[test]
fn a_site_out_of_memory_is_reported_as_oom_killed_and_its_pod_survives() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod("eater", &[]);
    let env = [("SSR_RENDER_MEMORY_LIMIT", "1GiB"), ("SSR_RENDER_TIMEOUT", "60s")];
    let site = pod.start(
        containerd.site_image(),
        &Spec { name: "eater", env: &env, memory: 96 << 20, ..Spec::default() },
    );
    let ip = pod.ip();
    assert_eq!(get(&format!("http://{ip}:8080/")).status, 200);
    let _ = http::try_get(&format!("http://{ip}:8080/oom"));
    let status = site.wait();
    assert_eq!((status.exit_code, &*status.reason), (137, "OOMKilled"));
    site.remove();

    let again = pod.start(containerd.site_image(), &Spec { name: "again", ..Spec::default() });
    assert_eq!(get(&format!("http://{ip}:8080/")).status, 200);
    assert_eq!(again.stop(GRACE), 0);
    pod.stop();
}

#[test]
fn containers_see_each_others_processes_in_a_shared_pid_namespace() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod_with_shared_pids("shared");
    let site = pod.start(containerd.site_image(), &Spec { name: "site", ..Spec::default() });
    let sidecar = pod.start(
        containerd.linux_image(),
        &Spec { name: "sidecar", command: &["sleep", "1000"], ..Spec::default() },
    );
    let list = sidecar.exec(&["ps"]).expect("an answer").stdout;
    let list = String::from_utf8_lossy(&list).into_owned();
    for command in ["ssr: pause", "ssr: serve /ssr.wasm /dist", "sleep 1000"] {
        assert!(list.lines().any(|line| line.ends_with(command)), "no {command} in: {list}");
    }
    assert_eq!(site.stop(GRACE), 0);
    pod.stop();
}

/// An address of this machine other than its loopback address: the bridge's.
fn bridge_address() -> String {
    let addresses = shell::run(std::process::Command::new("ip").args(["-o", "-4", "addr"])).success().stdout;
    let line = addresses.lines().find(|line| line.contains("cni0")).expect("the pods' bridge");
    let address = line.split_whitespace().nth(3).and_then(|net| net.split('/').next());
    address.expect("an address").to_owned()
}
