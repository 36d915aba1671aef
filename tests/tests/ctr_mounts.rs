//! Mounts of a site's container: what reaches which side, and where they are made.

use std::fs;
use std::path::Path;

use ssr_e2e::{Containerd, Image, shell};

#[test]
fn each_mount_has_the_propagation_that_was_asked_for() {
    let containerd = Containerd::start();
    let source = containerd.dir().join("shared");
    let source = source.to_str().expect("an ordinary path");
    let inside = |command: &str| {
        shell::run(&mut containerd.inside(["sh", "-c", &command.replace("$dir", source)])).success();
    };
    inside("mkdir $dir && mount -t tmpfs tmpfs $dir && mount --make-shared $dir && mkdir $dir/below");
    let mounts = ["rslave", "slave", "rprivate", "private", ""].map(|propagation| {
        let options = ["rbind", propagation].join(":");
        let options = options.trim_end_matches(':');
        format!("type=bind,src={source},dst=/volume-{propagation},options={options}")
    });
    let run = mounts.iter().fold(containerd.site(), |run, mount| run.option("--mount").option(mount));
    let site = run.start();
    inside("mount -t tmpfs tmpfs $dir/below");
    let mounts = site.proc("mountinfo");
    for (propagation, receives) in
        [("rslave", true), ("slave", true), ("rprivate", false), ("private", false), ("", false)]
    {
        let point = format!("/volume-{propagation}");
        let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(&point)).expect("a mount");
        assert_eq!(line.contains(" master:"), receives, "{line}");
        assert!(!line.contains(" shared:"), "{line}");
        assert_eq!(mounts.contains(&format!(" {point}/below ")), receives, "{point}: {mounts}");
    }
    assert_eq!(site.stop().code, 0);
    inside("umount $dir/below $dir");
}

#[test]
fn mounts_of_a_site_are_private_and_the_images_devices_have_no_effect() {
    let containerd = Containerd::shared();
    let volume =
        format!("type=bind,src={},dst=/volume,options=rbind:rprivate:ro", containerd.dir().display());
    let site = containerd.site().option("--mount").option(&volume).start();
    let mounts = site.proc("mountinfo");
    for line in mounts.lines() {
        assert!(!line.contains("shared:") && !line.contains("master:"), "not private: {line}");
    }
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
    assert!(root.contains("nodev") && root.contains("nosuid"), "{root}");
}

#[test]
fn a_site_refuses_what_would_reach_the_node() {
    let containerd = Containerd::shared();
    let shared = format!("type=bind,src={},dst=/volume,options=rbind:rshared", containerd.dir().display());
    let exited = containerd.site().option("--mount").option(&shared).run();
    assert_ne!(exited.code, 0);
    assert!(exited.log.contains("'rshared'") && exited.log.contains("/volume"), "{}", exited.log);
}

#[test]
fn a_mount_at_a_dangling_link_is_made_where_the_link_leads_inside_of_the_root() {
    let containerd = Containerd::shared();
    let file = containerd.dir().join("resolv.conf");
    fs::write(&file, "nameserver 192.0.2.1\n").expect("a file");
    for (link, target, inside) in [
        (
            "etc/linked.conf",
            "../run/systemd/resolve/stub-resolv.conf",
            "/run/systemd/resolve/stub-resolv.conf",
        ),
        ("etc/linked.conf", "/no/such/ssr-e2e-file", "/no/such/ssr-e2e-file"),
        ("etc/linked.conf", "../../../../no/such/ssr-e2e-file", "/no/such/ssr-e2e-file"),
        ("resolver", "/no/such", "/no/such/resolv.conf"),
    ] {
        let image = Image::with_link(link, target);
        containerd.import(&image);
        let destination = if link == "resolver" { "/resolver/resolv.conf" } else { "/etc/linked.conf" };
        let mount = format!("type=bind,src={},dst={destination},options=rbind:ro", file.display());
        let site = containerd.container(&image).option("--mount").option(&mount).start();
        let place = format!("/proc/{}/root{inside}", site.pid());
        let found = shell::run(&mut containerd.inside(["cat", &place])).success().stdout;
        assert_eq!(found, "nameserver 192.0.2.1\n", "{link} -> {target}");
        assert!(!Path::new("/no/such").exists(), "{link} -> {target}: made on the node");
        assert_eq!(site.stop().code, 0);
    }
}

#[test]
fn a_mount_that_cannot_be_made_is_named_with_the_reason() {
    let containerd = Containerd::shared();
    // The kernel gives /sys only to who owns the network, which is the node's here.
    let users = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let exited = users.into_iter().fold(containerd.site(), |run, option| run.option(option)).run();
    assert_ne!(exited.code, 0);
    assert!(exited.log.contains("\"/sys\"") && exited.log.contains("EPERM"), "{}", exited.log);

    // A file system that the kernel does not have, and a source that does not exist.
    for (mount, words) in [
        ("type=nosuchfs,src=none,dst=/volume", ["/volume", "ENODEV"]),
        ("type=bind,src=/no/such/source,dst=/volume,options=rbind", ["/no/such/source", "No such file"]),
        ("type=tmpfs,src=tmpfs,dst=/volume,options=size=nonsense", ["/volume", "EINVAL"]),
    ] {
        let exited = containerd.site().option("--mount").option(mount).run();
        assert_ne!(exited.code, 0, "{mount}");
        for word in words {
            assert!(exited.log.contains(word), "{mount}: {}", exited.log);
        }
    }
}
