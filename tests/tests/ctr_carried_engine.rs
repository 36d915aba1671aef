//! Sites of this release run on the engine's machine code that the shim carries: a node compiles
//! nothing for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use ssr_e2e::{Container, Containerd, Image, shell, under_test};

/// The device and the inode of files that a site's process executes machine code of.
fn executed(site: &Container) -> BTreeSet<String> {
    let maps = site.proc("maps");
    let code = maps.lines().filter(|line| line.split_whitespace().nth(1) == Some("r-xp"));
    let file = |line: &str| line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ");
    code.map(file).filter(|file| !file.ends_with(" 0")).collect()
}

#[test]
fn different_sites_run_on_the_same_machine_code_and_nothing_is_compiled() {
    let containerd = Containerd::start();
    let images = ["site.js", "other_site.js"].map(Image::from_fixture);
    let sites = images
        .each_ref()
        .map(|image| containerd.container(image).option("--env").option("SSR_LOG_LEVEL=debug").start());
    for site in &sites {
        assert_eq!(site.get("/").status, 200, "{}", site.log());
        let log = site.log();
        assert!(log.contains("runs on the machine code of one of the shim's engines"), "{log}");
    }
    // All machine code is of one file: the shim's.
    let executed = sites.each_ref().map(executed);
    assert!(executed[0].len() == 1 && executed[0] == executed[1], "{executed:?}");
    assert_eq!(containerd.compilations(), 0, "{}", containerd.log());
    // The cache has their memories, and no room for machine code.
    let files = containerd.cached_code();
    assert_eq!(files.len(), 2);
    for file in files {
        let metadata = file.metadata().unwrap();
        let holes = metadata.size() - metadata.blocks() * 512;
        assert!(holes > 1 << 20, "{} of {} bytes are holes", holes, metadata.size());
    }
    for site in sites {
        assert_eq!(site.stop().code, 0);
    }
    containerd.assert_clean();
}

#[test]
fn a_site_of_another_engine_is_compiled_and_answers_the_same() {
    let containerd = Containerd::start();
    let known = containerd.container(&Image::from_fixture("site.js")).start();
    let other = containerd.container(&Image::to_compile("site.js")).option("--env");
    let other = other.option("SSR_LOG_LEVEL=debug").start();
    let page = |site: &Container| site.get("/number?n=7").body;
    assert_eq!(page(&known), page(&other));
    assert!(other.log().contains("runs on compiled code"), "{}", other.log());
    assert_eq!(containerd.compilations(), 1, "{}", containerd.log());
    for site in [known, other] {
        assert_eq!(site.stop().code, 0);
    }
    containerd.assert_clean();
}

#[test]
fn a_sites_code_is_ready_before_its_container_is_started() {
    let containerd = Containerd::start();
    let mut site = containerd.site().create();
    site.create_task();
    let ready = shell::poll(|| (containerd.cached_code().len() == 1).then_some(()));
    assert!(ready.is_some(), "{}", containerd.log());
    site.start_task();
    site.wait_for_answer();
    assert_eq!(site.get("/number?n=7").status, 200);
    assert_eq!(site.stop().code, 0);
    containerd.assert_clean();
}

#[test]
fn a_module_that_is_written_to_between_creation_and_start_runs_as_it_is_then() {
    let containerd = Containerd::start();
    let module = containerd.dir().join("volume.wasm");
    fs::write(&module, Image::from_fixture("site.js").module()).unwrap();
    let mount = format!("type=bind,src={},dst=/ssr.wasm,options=bind:ro", module.display());
    let mut site = containerd.site().option("--mount").option(&mount).create();
    site.create_task();
    let ready = shell::poll(|| (containerd.cached_code().len() == 1).then_some(()));
    assert!(ready.is_some(), "{}", containerd.log());
    fs::write(&module, Image::from_fixture("other_site.js").module()).unwrap();
    site.start_task();
    site.wait_for_answer();
    assert!(site.get("/").body.contains("of another site"), "{}", site.get("/").body);
    assert_eq!(containerd.cached_code().len(), 2);
    assert_eq!(site.stop().code, 0);
    containerd.assert_clean();
}

#[test]
fn code_for_another_target_is_compiled_even_if_a_site_runs_without() {
    let containerd = Containerd::start();
    let image = Image::from_fixture("site.js");
    let site = containerd.container(&image).start();
    assert_eq!(site.stop().code, 0);
    let before = containerd.cached_code();
    assert_eq!(before.len(), 1);
    for (count, target) in [(2, "amd64"), (3, "arm64"), (4, "arm")] {
        let mut add = under_test::ssr(["cache", "add", "--target", target]);
        shell::run(add.arg("--dir").arg(containerd.code_cache()).arg(image.path())).success();
        assert_eq!(containerd.cached_code().len(), count, "{target}");
    }
}

#[test]
fn a_site_of_this_release_runs_without_a_cache_too() {
    let containerd = Containerd::start();
    containerd.configure_node("[cache]\nenabled = false\n");
    let site = containerd.site().start();
    assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
    assert!(!site.log().contains("warn"), "{}", site.log());
    assert_eq!((containerd.cached_code().len(), containerd.compilations()), (0, 0));
    assert_eq!(site.stop().code, 0);
    containerd.assert_clean();
}
