//! What a current kubelet asks of CRI, and Kubernetes 1.20, which `kubernetes_*` has, does not.

use std::fs;
use std::path::Path;

use ssr_e2e::cri::{Cri, Spec};
use ssr_e2e::{Containerd, Image, Registry, http, shell};

#[test]
fn a_pushed_site_is_pulled_for_the_runtime_class_and_runs() {
    let registry = Registry::start();
    let image = Image::from_fixture("site.js");
    let name = registry.name_of("me/site:1");
    let digest = registry.push(&image, &name);
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod("pulled", &[]);
    for reference in [&name, &digest] {
        cri.pull(reference).unwrap_or_else(|status| panic!("{reference}: {status}"));
        let site = pod.start_pulled(reference, &Spec { name: "site", ..Spec::default() });
        let answer = shell::poll(|| http::try_get(&format!("http://{}:8080/", pod.ip())).ok());
        assert_eq!(answer.unwrap_or_else(|| panic!("no answer: {}", site.log())).status, 200);
        site.stop(std::time::Duration::from_secs(20));
        site.remove();
    }
    let missing = cri.pull(&registry.name_of("me/other:1")).expect_err("there is no such image");
    assert!(missing.message().contains("me/other:1"), "{missing}");
    pod.stop();
}

/// A directory of the node that another file system is mounted in.
fn volume_with_mount(containerd: &Containerd) -> std::path::PathBuf {
    let volume = containerd.dir().join("volume");
    fs::create_dir_all(volume.join("below")).expect("a directory");
    fs::write(volume.join("page.txt"), "of the volume").expect("a file");
    let below = volume.join("below");
    let mount = ["mount", "-t", "tmpfs", "tmpfs", below.to_str().expect("an ordinary path")];
    shell::run(&mut containerd.inside(mount)).success();
    volume
}

/// The options of the file systems mounted at and below `/volume` in a process's namespace.
fn options_of_volume(containerd: &Containerd, pid: &str) -> Vec<(String, bool)> {
    let mounts = format!("/proc/{pid}/mountinfo");
    let mounts = shell::run(&mut containerd.inside(["cat", &mounts])).success().stdout;
    let volume = mounts.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let place = Path::new(fields[4]);
        place.starts_with("/volume").then(|| (fields[4].to_owned(), fields[5].split(',').any(|o| o == "ro")))
    });
    volume.collect()
}

#[test]
fn what_is_mounted_below_a_recursively_read_only_volume_cannot_be_written_to_either() {
    let containerd = Containerd::start_for_cri_that_asks_for_features();
    let cri = Cri::connect(&containerd);
    let volume = volume_with_mount(&containerd);
    let pod = cri.run_pod("read-only", &[]);
    let spec = Spec { volume: Some((&volume, "/volume")), read_only: true, ..Spec::default() };
    let site = Spec { name: "site", command: &["/ssr.wasm", "/volume"], ..spec };
    let site = pod.start(containerd.site_image(), &site);
    let url = format!("http://{}:8080/page.txt", pod.ip());
    let answer =
        shell::poll(|| http::try_get(&url).ok()).unwrap_or_else(|| panic!("no answer: {}", site.log()));
    assert_eq!((answer.status, answer.body.as_str()), (200, "of the volume"));
    let sidecar = Spec {
        name: "sidecar",
        command: &["sh", "-c", "exec 2>&1; touch /volume/x /volume/below/x; echo tried; exec sleep 1000"],
        ..spec
    };
    let sidecar = pod.start(containerd.linux_image(), &sidecar);
    let tried = shell::poll(|| sidecar.log().contains("tried").then_some(()));
    assert!(tried.is_some(), "{}", sidecar.log());
    assert_eq!(sidecar.log().matches("Read-only file system").count(), 2, "{}", sidecar.log());
    let server = shell::run(&mut containerd.inside(["pgrep", "-f", "^ssr: serve"])).success().stdout;
    let mounted = options_of_volume(&containerd, server.trim());
    assert!(mounted.len() == 2 && mounted.iter().all(|(_, read_only)| *read_only), "{mounted:?}");
    pod.stop();
    let below = volume.join("below");
    shell::run(&mut containerd.inside(["umount", below.to_str().expect("an ordinary path")])).success();
}

#[test]
fn a_sidecar_is_resized_in_place() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod("resized", &[]);
    let sidecar = Spec { name: "sidecar", command: &["sleep", "1000"], memory: 50 << 20, ..Spec::default() };
    let sidecar = pod.start(containerd.linux_image(), &sidecar);
    // Of cgroup v1 and v2.
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    let limit = || sidecar.exec(&["sh", "-c", limit]).expect("an answer").stdout;
    assert_eq!(limit(), b"52428800\n");
    sidecar.limit_memory(30 << 20);
    assert_eq!(limit(), b"31457280\n");
    pod.stop();
}
