//! The node's code cache: a module is compiled once, and whatever is wrong with the
//! cache, sites run and their logs say why.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::thread;
use std::time::SystemTime;

use ssr_e2e::{Container, Containerd, Image, shell, under_test};

/// Asks for a page, stops the site, and returns its log.
fn serve_and_stop(site: Container) -> String {
    let page = site.get("/number?n=7");
    assert_eq!(page.status, 200, "{}", site.log());
    let exited = site.stop();
    assert_eq!(exited.code, 0, "{}", exited.log);
    exited.log
}

/// The cache's only file of compiled code.
fn only_file(containerd: &Containerd) -> PathBuf {
    let files = containerd.cached_code();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Mounts an empty file system where the cache will be. Returns its directory.
fn mount_cache(containerd: &Containerd, options: &str) -> String {
    let dir = containerd.code_cache();
    fs::create_dir_all(&dir).unwrap();
    let dir = dir.to_str().unwrap().to_owned();
    shell::run(&mut containerd.inside(["mount", "-t", "tmpfs", "-o", options, "tmpfs", &dir])).success();
    dir
}

#[test]
fn a_module_is_compiled_once_for_all_containers_and_all_starts() {
    let containerd = Containerd::start();
    let image = Image::to_compile("site.js");
    let containers: Vec<_> = (0..5).map(|_| containerd.container(&image)).collect();
    thread::scope(|scope| {
        for container in containers {
            scope.spawn(|| serve_and_stop(container.start()));
        }
    });
    assert_eq!(containerd.compilations(), 1, "{}", containerd.log());
    let before = only_file(&containerd).metadata().unwrap().ino();
    for restart in ["TERM", "KILL"] {
        containerd.restart(restart);
        serve_and_stop(containerd.container(&image).start());
    }
    assert_eq!(containerd.compilations(), 1, "{}", containerd.log());
    assert_eq!(only_file(&containerd).metadata().unwrap().ino(), before);
    containerd.assert_clean();
}

#[test]
fn only_root_can_access_the_cache() {
    let containerd = Containerd::start();
    serve_and_stop(containerd.site_to_compile().start());
    for path in [containerd.code_cache(), only_file(&containerd)] {
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o077), (0, 0), "{}", path.display());
    }
}

#[test]
fn each_module_has_its_own_code() {
    let containerd = Containerd::start();
    serve_and_stop(containerd.site_to_compile().start());
    let mut other = Image::to_compile("site.js").module();
    // A custom section called "x", which changes nothing but the digest.
    other.extend([0, 2, 1, b'x']);
    serve_and_stop(containerd.container(&Image::from_module(&other)).start());
    assert_eq!(containerd.cached_code().len(), 2);
}

#[test]
fn a_damaged_or_foreign_file_is_replaced_with_a_warning() {
    let containerd = Containerd::start();
    serve_and_stop(containerd.site_to_compile().start());
    let path = only_file(&containerd);
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, reason) in [
        (&flipped[..], "its checksum is wrong"),
        (&good[..good.len() / 2], "it was not compiled by this version"),
        (b"", "it was not compiled by this version"),
        (
            b"\x7fELF\x02\x01\x01 and more, as long as it takes to hold a tail",
            "it was not compiled by this version",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let log = serve_and_stop(containerd.site_to_compile().start());
        assert!(log.contains(path.to_str().unwrap()) && log.contains(reason), "{log}");
        assert_eq!(fs::read(&path).unwrap(), good);
        assert!(!serve_and_stop(containerd.site_to_compile().start()).contains("warn"));
    }
}

#[test]
fn code_under_another_modules_name_is_not_used() {
    let containerd = Containerd::start();
    serve_and_stop(containerd.site_to_compile().start());
    let site = only_file(&containerd);
    let mut other = Image::to_compile("site.js").module();
    other.extend([0, 2, 1, b'x']);
    let other = Image::from_module(&other);
    serve_and_stop(containerd.container(&other).start());
    let path = containerd.cached_code().into_iter().find(|path| *path != site).unwrap();
    fs::copy(&site, &path).unwrap();
    let log = serve_and_stop(containerd.container(&other).start());
    assert!(log.contains("it belongs to another module"), "{log}");
}

#[test]
fn a_directory_that_others_can_write_to_is_not_trusted() {
    let containerd = Containerd::start();
    fs::create_dir_all(containerd.code_cache()).unwrap();
    fs::set_permissions(containerd.code_cache(), Permissions::from_mode(0o777)).unwrap();
    let log = serve_and_stop(containerd.site_to_compile().start());
    assert!(log.contains("running without the code cache") && log.contains("cannot be trusted"), "{log}");
    assert_eq!(containerd.cached_code(), Vec::<PathBuf>::new());
}

#[test]
fn sites_run_without_the_cache_on_a_full_disk_and_log_it() {
    let containerd = Containerd::start();
    let dir = mount_cache(&containerd, "size=64k,mode=700");
    let log = serve_and_stop(containerd.site_to_compile().start());
    assert!(log.contains("running without the code cache") && log.contains("No space left"), "{log}");
    shell::run(&mut containerd.inside(["umount", &dir])).success();
    containerd.assert_clean();
}

#[test]
fn a_read_only_cache_is_used_but_not_added_to() {
    let containerd = Containerd::start();
    let dir = mount_cache(&containerd, "mode=700");
    serve_and_stop(containerd.site_to_compile().start());
    shell::run(&mut containerd.inside(["mount", "-o", "remount,ro", &dir])).success();
    assert!(!serve_and_stop(containerd.site_to_compile().start()).contains("warn"));
    let mut other = Image::to_compile("site.js").module();
    other.extend([0, 2, 1, b'x']);
    let log = serve_and_stop(containerd.container(&Image::from_module(&other)).start());
    assert!(log.contains("running without the code cache") && log.contains("Read-only"), "{log}");
    shell::run(&mut containerd.inside(["umount", &dir])).success();
    containerd.assert_clean();
}

#[test]
fn a_cache_mounted_noexec_works() {
    let containerd = Containerd::start();
    let dir = mount_cache(&containerd, "mode=700,noexec");
    for _ in 0..2 {
        assert!(!serve_and_stop(containerd.site_to_compile().start()).contains("warn"));
    }
    assert_eq!(containerd.compilations(), 1, "{}", containerd.log());
    shell::run(&mut containerd.inside(["umount", &dir])).success();
    containerd.assert_clean();
}

#[test]
fn the_least_recently_used_code_is_evicted() {
    let containerd = Containerd::start();
    let module = Image::to_compile("site.js").module();
    let image = |name: u8| Image::from_module(&[&module[..], &[0, 2, 1, name]].concat());
    let images = [image(b'a'), image(b'b'), image(b'c')];
    let serve = |image: &Image| {
        serve_and_stop(containerd.container(image).start());
        wait_until_new_files_are_newer(&containerd);
    };
    serve(&images[0]);
    // Two files fit.
    let size = only_file(&containerd).metadata().unwrap().blocks() * 512;
    containerd.configure_node(&format!("[cache]\nsize = \"{}\"\n", size * 5 / 2));
    serve(&images[1]);
    serve(&images[0]);
    serve(&images[2]);
    assert_eq!((containerd.cached_code().len(), containerd.compilations()), (2, 3));
    serve(&images[0]);
    assert_eq!(containerd.compilations(), 3, "the most recently used code is gone");
    serve(&images[1]);
    assert_eq!((containerd.cached_code().len(), containerd.compilations()), (2, 4));
}

/// Waits until a file written now would be newer than every file in the cache: eviction
/// compares modification times, and a file system's clock is coarse.
fn wait_until_new_files_are_newer(containerd: &Containerd) {
    let modified = |path: &PathBuf| -> SystemTime { path.metadata().unwrap().modified().unwrap() };
    let newest = containerd.cached_code().iter().map(modified).max();
    let probe = containerd.dir().join("clock");
    let is_newer = || {
        fs::write(&probe, "tick").unwrap();
        (Some(modified(&probe)) > newest).then_some(())
    };
    shell::poll(is_newer).expect("the file system's clock advances");
}

#[test]
fn the_nodes_configuration_moves_the_cache_and_its_errors_are_logged() {
    let containerd = Containerd::start();
    let elsewhere = containerd.dir().join("elsewhere");
    containerd.configure_node(&format!("[cache]\ndirectory = \"{}\"\n", elsewhere.display()));
    serve_and_stop(containerd.site_to_compile().start());
    assert_eq!(containerd.cached_code(), Vec::<PathBuf>::new());
    let moved = fs::read_dir(&elsewhere).unwrap().flatten();
    assert_eq!(moved.filter(|entry| entry.path().extension().is_some()).count(), 1);
    containerd.configure_node("[cache]\nsize = \"plenty\"\n");
    let log = serve_and_stop(containerd.site_to_compile().start());
    assert!(log.contains("running without the code cache") && log.contains("'plenty'"), "{log}");
}

/// 24 MiB.
const SMALL: &str = "25165824";

#[test]
fn a_site_starts_and_serves_within_24_mib_on_a_cold_cache_too() {
    let containerd = Containerd::start();
    for compilations in [1, 1] {
        let site = containerd.site_to_compile().option("--memory-limit").option(SMALL).start();
        for _ in 0..300 {
            assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
        }
        assert_eq!(site.stop().code, 0);
        assert_eq!(containerd.compilations(), compilations);
    }
}

#[test]
fn compiled_code_in_an_image_is_never_loaded() {
    let containerd = Containerd::start();
    serve_and_stop(containerd.site_to_compile().start());
    let path = only_file(&containerd);
    let code = fs::read(&path).unwrap();
    // Valid code, byte for byte what this node has compiled: after a module's header, and
    // after the section that marks a site's module.
    let inside = [b"\0asm\x01\0\0\0", &code[..]].concat();
    let section = {
        let mut module = b"\0asm\x01\0\0\0\0".to_vec();
        let name = b"\x08ssr:site";
        let json = br#"{"abi":1,"built_by":"0.1.0"}"#;
        module.push((name.len() + json.len()) as u8);
        module.extend([&name[..], json, &code].concat());
        module
    };
    for (module, reason) in [(inside, "damaged or incomplete"), (section, "does not compile")] {
        let exited = containerd.container(&Image::from_module(&module)).run();
        assert_eq!(exited.code, 65, "{}", exited.log);
        assert!(exited.log.contains(reason), "{}", exited.log);
    }
    // Unchanged, the file is taken for a Linux program, which the kernel cannot execute.
    let file = containerd.dir().join("code");
    fs::write(&file, &code).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    let mount = format!("type=bind,src={},dst=/ssr.wasm,options=bind:ro", file.display());
    let exited = containerd.site_to_compile().option("--mount").option(&mount).run();
    assert_ne!(exited.code, 0);
    assert!(exited.log.contains("exec format error"), "{}", exited.log);
    assert_eq!(fs::read(only_file(&containerd)).unwrap(), code);
}

#[test]
fn code_compiled_for_an_architecture_is_served() {
    let containerd = Containerd::start();
    let image = Image::to_compile("site.js");
    let mut add = under_test::ssr(["cache", "add", "--target"]);
    add.arg(if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    shell::run(add.arg("--dir").arg(containerd.code_cache()).arg(image.path())).success();
    serve_and_stop(containerd.container(&image).start());
    assert_eq!((containerd.cached_code().len(), containerd.compilations()), (1, 0), "{}", containerd.log());
}

#[test]
fn a_linux_program_inherits_no_descriptor_of_the_shim() {
    let containerd = Containerd::start();
    let exited = containerd.linux(["ls", "/proc/self/fd"]).run();
    // Descriptor 3 is the directory that is listed.
    assert_eq!(exited.log.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "{}", exited.log);
}
