//! The node's cache of compiled code: what is compiled once is not compiled again,
//! and whatever happens to the cache, sites run and say what was wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ssr_e2e::{Container, Image, Lab, shell};

/// A page of the site, and its end. What the container wrote.
fn serves(site: Container) -> String {
    let page = site.get("/number?n=7");
    assert_eq!(page.status, 200, "{}", site.log());
    let ended = site.stop();
    assert_eq!(ended.code, 0, "{}", ended.log);
    ended.log
}

/// The one file of compiled code.
fn only(lab: &Lab) -> PathBuf {
    let compiled = lab.compiled();
    assert_eq!(compiled.len(), 1, "{compiled:?}");
    compiled[0].clone()
}

/// Mounts an empty file system where the cache is to be, before there is one.
fn mount_cache(lab: &Lab, options: &str) -> String {
    let dir = lab.code_cache();
    fs::create_dir_all(&dir).unwrap();
    let dir = dir.to_str().unwrap().to_owned();
    shell::run(&mut lab.inside(["mount", "-t", "tmpfs", "-o", options, "tmpfs", &dir])).success();
    dir
}

#[test]
fn a_module_is_compiled_once_for_all_containers_and_for_all_starts() {
    let lab = Lab::start();
    let image = Image::of_site("site.js");
    let containers: Vec<_> = (0..5).map(|_| lab.container(&image)).collect();
    thread::scope(|scope| {
        for container in containers {
            scope.spawn(|| serves(container.start()));
        }
    });
    assert_eq!(lab.compilations(), 1, "{}", lab.log());
    let before = only(&lab).metadata().unwrap().ino();
    for restart in ["TERM", "KILL"] {
        lab.restart(restart);
        serves(lab.container(&image).start());
    }
    assert_eq!(lab.compilations(), 1, "{}", lab.log());
    assert_eq!(only(&lab).metadata().unwrap().ino(), before);
    lab.assert_clean();
}

#[test]
fn the_cache_is_its_owners_alone() {
    let lab = Lab::start();
    serves(lab.site().start());
    for path in [lab.code_cache(), only(&lab)] {
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o077), (0, 0), "{}", path.display());
    }
}

#[test]
fn another_module_has_code_of_its_own() {
    let lab = Lab::start();
    serves(lab.site().start());
    let mut other = Image::of_site("site.js").module();
    // A custom section called "x", which changes nothing but the digest.
    other.extend([0, 2, 1, b'x']);
    serves(lab.container(&Image::of_module(&other)).start());
    assert_eq!(lab.compiled().len(), 2);
}

#[test]
fn a_damaged_or_foreign_file_is_compiled_again_with_a_warning() {
    let lab = Lab::start();
    serves(lab.site().start());
    let path = only(&lab);
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, says) in [
        (&flipped[..], "its checksum does not fit"),
        (&good[..good.len() / 2], "it is no compiled code"),
        (b"", "it is no compiled code"),
        (b"\x7fELF\x02\x01\x01 and more, as long as it takes to hold a tail", "it is no compiled code"),
    ] {
        fs::write(&path, bytes).unwrap();
        let log = serves(lab.site().start());
        assert!(log.contains(path.to_str().unwrap()) && log.contains(says), "{log}");
        assert_eq!(fs::read(&path).unwrap(), good);
        assert!(!serves(lab.site().start()).contains("warn"));
    }
}

#[test]
fn code_under_another_modules_name_is_not_used() {
    let lab = Lab::start();
    serves(lab.site().start());
    let site = only(&lab);
    let mut other = Image::of_site("site.js").module();
    other.extend([0, 2, 1, b'x']);
    let other = Image::of_module(&other);
    serves(lab.container(&other).start());
    let path = lab.compiled().into_iter().find(|path| *path != site).unwrap();
    fs::copy(&site, &path).unwrap();
    let log = serves(lab.container(&other).start());
    assert!(log.contains("it is another module's"), "{log}");
}

#[test]
fn a_directory_that_others_can_write_to_is_not_trusted() {
    let lab = Lab::start();
    fs::create_dir_all(lab.code_cache()).unwrap();
    fs::set_permissions(lab.code_cache(), Permissions::from_mode(0o777)).unwrap();
    let log = serves(lab.site().start());
    assert!(log.contains("running without the code cache") && log.contains("not trusted"), "{log}");
    assert_eq!(lab.compiled(), Vec::<PathBuf>::new());
}

#[test]
fn without_room_for_the_cache_sites_run_and_say_so() {
    let lab = Lab::start();
    let dir = mount_cache(&lab, "size=64k,mode=700");
    let log = serves(lab.site().start());
    assert!(log.contains("running without the code cache") && log.contains("No space left"), "{log}");
    shell::run(&mut lab.inside(["umount", &dir])).success();
    lab.assert_clean();
}

#[test]
fn a_read_only_cache_is_used_but_not_added_to() {
    let lab = Lab::start();
    let dir = mount_cache(&lab, "mode=700");
    serves(lab.site().start());
    shell::run(&mut lab.inside(["mount", "-o", "remount,ro", &dir])).success();
    assert!(!serves(lab.site().start()).contains("warn"));
    let mut other = Image::of_site("site.js").module();
    other.extend([0, 2, 1, b'x']);
    let log = serves(lab.container(&Image::of_module(&other)).start());
    assert!(log.contains("running without the code cache") && log.contains("Read-only"), "{log}");
    shell::run(&mut lab.inside(["umount", &dir])).success();
    lab.assert_clean();
}

#[test]
fn a_cache_from_which_nothing_may_be_executed_serves_all_the_same() {
    let lab = Lab::start();
    let dir = mount_cache(&lab, "mode=700,noexec");
    for _ in 0..2 {
        assert!(!serves(lab.site().start()).contains("warn"));
    }
    assert_eq!(lab.compilations(), 1, "{}", lab.log());
    shell::run(&mut lab.inside(["umount", &dir])).success();
    lab.assert_clean();
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let lab = Lab::start();
    let module = Image::of_site("site.js").module();
    let image = |name: u8| Image::of_module(&[&module[..], &[0, 2, 1, name]].concat());
    let images = [image(b'a'), image(b'b'), image(b'c')];
    let serve = |image: &Image| {
        serves(lab.container(image).start());
        // Times of files are compared.
        thread::sleep(Duration::from_millis(20));
    };
    serve(&images[0]);
    // Room for two.
    let size = only(&lab).metadata().unwrap().len();
    lab.configure_node(&format!("[cache]\nsize = \"{}\"\n", size * 5 / 2));
    serve(&images[1]);
    serve(&images[0]);
    serve(&images[2]);
    assert_eq!((lab.compiled().len(), lab.compilations()), (2, 3));
    serve(&images[0]);
    assert_eq!(lab.compilations(), 3, "what was used last is gone");
    serve(&images[1]);
    assert_eq!((lab.compiled().len(), lab.compilations()), (2, 4));
}

#[test]
fn the_node_s_configuration_moves_the_cache_and_its_faults_are_said() {
    let lab = Lab::start();
    let elsewhere = lab.dir().join("elsewhere");
    lab.configure_node(&format!("[cache]\ndirectory = \"{}\"\n", elsewhere.display()));
    serves(lab.site().start());
    assert_eq!(lab.compiled(), Vec::<PathBuf>::new());
    let moved = fs::read_dir(&elsewhere).unwrap().flatten();
    assert_eq!(moved.filter(|entry| entry.path().extension().is_some()).count(), 1);
    lab.configure_node("[cache]\nsize = \"plenty\"\n");
    let log = serves(lab.site().start());
    assert!(log.contains("running without the code cache") && log.contains("'plenty'"), "{log}");
}

/// 24 MiB.
const SMALL: &str = "25165824";

#[test]
fn a_site_starts_and_serves_within_24_mib_on_a_cold_cache_too() {
    let lab = Lab::start();
    for compilations in [1, 1] {
        let site = lab.site().option("--memory-limit").option(SMALL).start();
        for _ in 0..300 {
            assert_eq!(site.get("/number?n=7").status, 200, "{}", site.log());
        }
        assert_eq!(site.stop().code, 0);
        assert_eq!(lab.compilations(), compilations);
    }
}

#[test]
fn nothing_that_an_image_supplies_is_loaded_as_compiled_code() {
    let lab = Lab::start();
    serves(lab.site().start());
    let path = only(&lab);
    let code = fs::read(&path).unwrap();
    // Good code, byte by byte what the node itself has made: as the module, and behind
    // the first bytes of one.
    let inside = [b"\0asm\x01\0\0\0", &code[..]].concat();
    let section = {
        let mut module = b"\0asm\x01\0\0\0\0".to_vec();
        let name = b"\x08ssr:site";
        let json = br#"{"abi":1,"built_by":"0.1.0"}"#;
        module.push((name.len() + json.len()) as u8);
        module.extend([&name[..], json, &code].concat());
        module
    };
    for (module, says) in [(inside, "damaged or incomplete"), (section, "does not compile")] {
        let ended = lab.container(&Image::of_module(&module)).to_end();
        assert_eq!(ended.code, 65, "{}", ended.log);
        assert!(ended.log.contains(says), "{}", ended.log);
    }
    // As it is, it counts as a Linux program, which it is not.
    let file = lab.dir().join("code");
    fs::write(&file, &code).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    let mount = format!("type=bind,src={},dst=/ssr.wasm,options=bind:ro", file.display());
    let ended = lab.site().option("--mount").option(&mount).to_end();
    assert_eq!(ended.code, 126, "{}", ended.log);
    assert_eq!(fs::read(only(&lab)).unwrap(), code);
}

#[test]
fn code_that_was_made_for_all_machines_of_a_kind_is_served() {
    let lab = Lab::start();
    let image = Image::of_site("site.js");
    let mut add = shell::ssr(["cache", "add", "--target"]);
    add.arg(if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    shell::run(add.arg("--dir").arg(lab.code_cache()).arg(image.path())).success();
    serves(lab.container(&image).start());
    assert_eq!((lab.compiled().len(), lab.compilations()), (1, 0), "{}", lab.log());
}

#[test]
fn a_linux_program_finds_no_descriptor_of_the_shims() {
    let lab = Lab::start();
    let ended = lab.linux(["ls", "/proc/self/fd"]).to_end();
    // 3 is the directory itself.
    assert_eq!(ended.log.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "{}", ended.log);
}
