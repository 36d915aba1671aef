//! Containers whose users are others on the node, as containerd 2 makes them: it lets the
//! runtime map the owners of the image's files. The tests need containerd 2.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ssr_e2e::cri::{Cri, Spec};
use ssr_e2e::{Containerd, http, shell};

const MAPPED: [&str; 5] = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--remap-labels"];

#[test]
fn the_images_files_belong_to_the_containers_root_and_are_not_copied() {
    let containerd = Containerd::shared();
    // The kernel gives /sys only to who owns the network.
    let run = containerd.site().own_network();
    let site = MAPPED.into_iter().fold(run, |run, option| run.option(option)).detach();
    for path in ["/", "/hello.txt"] {
        let healthy = || (site.exec(&["ssr", "health", path]).code == 0).then_some(());
        assert!(shell::poll(healthy).is_some(), "{path}: {}", site.log());
    }
    let map = site.proc("uid_map");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    // The node's number of the container's root.
    let module = format!("/proc/{}/root/ssr.wasm", site.pid());
    let owner = shell::run(&mut containerd.inside(["stat", "-c", "%u", &module])).success().stdout;
    assert_eq!(owner.trim(), "100000");
    assert_eq!(site.stop().code, 0);

    let command =
        ["sh", "-c", "stat -c %u:%g /bin/busybox && touch /new && stat -c %u /new && cat /proc/self/uid_map"];
    let linux =
        MAPPED.into_iter().fold(containerd.linux(command).own_network(), |run, option| run.option(option));
    let exited = linux.run();
    assert_eq!(exited.code, 0, "{}", exited.log);
    let words: Vec<_> = exited.log.split_whitespace().collect();
    assert_eq!(words, ["0:0", "0", "0", "100000", "65536"], "{}", exited.log);
}

#[test]
fn a_pod_with_own_users_serves_with_a_volume_whose_files_are_its_own() {
    let containerd = Containerd::start_for_cri();
    let cri = Cri::connect(&containerd);
    let pod = cri.run_pod_with_own_users("own-users");
    let volume = containerd.dir().join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("page.txt"), "of the volume").expect("a file");
    let command = ["/ssr.wasm", "/volume"];
    let site = pod.start(
        containerd.site_image(),
        &Spec { name: "site", command: &command, volume: Some((&volume, "/volume")), ..Spec::default() },
    );
    let url = |path: &str| format!("http://{}:8080{path}", pod.ip());
    let answer = shell::poll(|| http::try_get(&url("/page.txt")).ok())
        .unwrap_or_else(|| panic!("no answer: {}", site.log()));
    assert_eq!((answer.status, answer.body.as_str()), (200, "of the volume"));
    assert_eq!(http::get(&url("/")).status, 200);
    let health = site.exec(&["ssr", "health"]).expect("an answer");
    assert_eq!(health.exit_code, 0, "{}", String::from_utf8_lossy(&health.stderr));

    let command =
        ["sh", "-c", "touch /volume/new; stat -c %u:%n /volume/*; cat /proc/self/uid_map; exec sleep 1000"];
    let sidecar = pod.start(
        containerd.linux_image(),
        &Spec { name: "sidecar", command: &command, volume: Some((&volume, "/volume")), ..Spec::default() },
    );
    let done = shell::poll(|| sidecar.log().contains("100000").then_some(()));
    assert!(done.is_some(), "{}", sidecar.log());
    assert!(sidecar.log().contains(" 0:/volume/new"), "{}", sidecar.log());
    assert!(sidecar.log().contains(" 0:/volume/page.txt"), "{}", sidecar.log());
    // On the node's disk, too: the mount maps them, not the files.
    assert_eq!(fs::metadata(volume.join("new")).expect("the file").uid(), 0);
    pod.stop();
}

#[test]
fn the_runtime_tells_what_it_can_do() {
    let containerd = Containerd::shared();
    let inspect = ["plugins", "inspect-runtime", "--runtime", "io.containerd.ssr.v1"];
    let answer = shell::run(&mut containerd.ctr(inspect)).success().stdout;
    let info: serde_json::Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let features = &info["Features"];
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true, "{answer}");
    let options = features["mountOptions"].as_array().expect("options");
    assert!(options.contains(&"rro".into()), "{answer}");
    assert!(!options.contains(&"rshared".into()), "{answer}");
}
