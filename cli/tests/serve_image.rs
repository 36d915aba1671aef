//! `ssr serve site.tar`: a site from an image archive.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Server, build, serve, ssr, stderr};

const SITE: &str = "export default { fetch: (request, env) =>
    new Response(`page ${new URL(request.url).pathname} ${env.GREETING ?? 'no greeting'} ${env.OTHER ?? ''}`) }";

/// A directory with site.tar, whose environment is `env`, and nothing that it was made from.
fn archive(env: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    build(directory.path(), SITE);
    fs::create_dir_all(at("dist/assets")).unwrap();
    fs::write(at("dist/assets/app-Bk3xR_2a.js"), "let application;").unwrap();
    fs::write(at("dist/robots.txt"), "User-agent: *\n").unwrap();
    let mut args = vec!["image", "--wasm", "ssr.wasm", "--static", "dist", "--tag", "site", "-o", "site.tar"];
    args.extend(env.iter().flat_map(|variable| ["--env", variable]));
    let packed = ssr(directory.path(), &args);
    assert!(packed.status.success(), "{}", stderr(&packed));
    fs::remove_dir_all(at("dist")).unwrap();
    fs::remove_file(at("ssr.wasm")).unwrap();
    directory
}

fn start(directory: tempfile::TempDir, env: &[(&str, &str)], flags: &[&str]) -> Server {
    let mut command = serve(directory.path(), "site.tar");
    command.envs(env.iter().copied()).args(flags);
    Server::spawn(directory, command)
}

/// What is unpacked below a cache.
fn unpacked(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("cache/containerd-shim-ssr-unpacked"));
    entries.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

#[test]
fn an_archive_is_served_as_its_container_would_be() {
    let directory = archive(&["SSR_LISTEN=127.0.0.1:0", "GREETING=of the image", "OTHER=of the image"]);
    let server = start(directory, &[("OTHER", "of the process")], &[]);
    assert_eq!(server.get("/a").text(), "page /a of the image of the process");
    let asset = server.get("/assets/app-Bk3xR_2a.js");
    assert_eq!(asset.text(), "let application;");
    assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(server.get("/robots.txt").text(), "User-agent: *\n");
}

#[test]
fn the_processs_settings_win_over_the_images_and_flags_over_both() {
    let of_image = ["SSR_LISTEN=127.0.0.1:1", "SSR_ACCESS_LOG=on", "SSR_LOG_LEVEL=debug"];
    let server = start(
        archive(&of_image),
        &[("SSR_LISTEN", "127.0.0.1:2"), ("SSR_LOG_LEVEL", "info")],
        &["--listen", "127.0.0.1:0"],
    );
    assert_eq!(server.get("/logged").status, 200);
    let (_, log) = server.stop();
    assert!(log.contains("GET /logged"), "the image's setting counts: {log}");
    assert!(!log.contains("debug:"), "{log}");
}

#[test]
fn the_files_are_removed_when_a_signal_stops_the_server() {
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let server = start(archive(&[]), &[], &["--listen", "127.0.0.1:0"]);
        let there = unpacked(server.directory());
        assert_eq!(there.len(), 1);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&there[0]).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
        server.signal(signal);
        let begun = Instant::now();
        while !unpacked(server.directory()).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{signal}: {there:?}");
        }
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{signal}: {log}");
    }
}

#[test]
fn a_signal_while_files_are_unpacked_stops_that_and_leaves_nothing() {
    let directory = archive(&[]);
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("dist")).unwrap();
    for number in 0..200 {
        fs::write(at("dist").join(number.to_string()), vec![0; 1 << 20]).unwrap();
    }
    fs::write(at("ssr.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let packed = ["image", "--wasm", "ssr.wasm", "--static", "dist", "--tag", "large", "-o", "large.tar"];
    assert!(ssr(directory.path(), &packed).status.success());
    let mut child = serve(directory.path(), "large.tar").stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while unpacked(directory.path()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is unpacked");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("stopped before the site was ready"), "{said}");
    assert_eq!(unpacked(directory.path()), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_server_leaves_is_removed_by_the_next() {
    let directory = archive(&[]);
    let path = directory.path().to_owned();
    let killed = start(directory, &[], &["--listen", "127.0.0.1:0"]);
    let other = {
        let mut command = serve(&path, "site.tar");
        command.args(["--listen", "127.0.0.1:0"]);
        Server::spawn(tempfile::tempdir().unwrap(), command)
    };
    let both = unpacked(&path);
    assert_eq!(both.len(), 2, "each server has its own");
    killed.signal("KILL");
    // Until it is reaped, the directory is locked.
    let directory = killed.into_directory();
    assert_eq!(unpacked(&path), both);
    let next = start(directory, &[], &["--listen", "127.0.0.1:0"]);
    let now = unpacked(&path);
    assert_eq!(now.len(), 2, "{now:?}");
    assert_ne!(now, both);
    assert_eq!(other.get("/robots.txt").text(), "User-agent: *\n");
    assert_eq!(next.get("/robots.txt").text(), "User-agent: *\n");
    other.stop();
    next.signal("TERM");
    let begun = Instant::now();
    while !unpacked(&path).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn archives_that_cannot_be_served_are_refused_and_leave_nothing() {
    let directory = archive(&[]);
    let at = |name: &str| directory.path().join(name);
    let whole = fs::read(at("site.tar")).unwrap();
    let middle = whole.len() / 2;
    let mut damaged = whole.clone();
    damaged[middle] ^= 1;
    fs::write(at("damaged.tar"), &damaged).unwrap();
    fs::write(at("cut.tar"), &whole[..middle]).unwrap();
    fs::write(at("notes.txt"), "no archive").unwrap();
    let mut tar = tar::Builder::new(fs::File::create(at("other.tar")).unwrap());
    tar.append_path_with_name(at("notes.txt"), "notes.txt").unwrap();
    tar.finish().unwrap();
    for (args, code, says) in [
        (&["damaged.tar"][..], 65, "cannot serve 'damaged.tar'"),
        (&["damaged.tar"], 65, "the archive is damaged"),
        (&["cut.tar"], 65, "cannot serve 'cut.tar'"),
        (&["other.tar"], 65, "neither index.json nor manifest.json"),
        (&["notes.txt"], 65, "notes.txt"),
        (&["none.tar"], 66, "none.tar"),
        (
            &["site.tar", "dist"],
            64,
            "'site.tar' is an image archive, which has its own assets: leave 'dist' out",
        ),
        (&["site.tar", "--listen", "nowhere"], 78, "--listen: invalid value 'nowhere'"),
    ] {
        let served = ssr(directory.path(), &[&["serve"], args].concat());
        let said = stderr(&served);
        assert_eq!(served.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!(unpacked(directory.path()), Vec::<PathBuf>::new(), "{args:?}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named_with_the_way_out() {
    let directory = archive(&[]);
    // Even root cannot make a directory below a file.
    fs::remove_dir_all(directory.path().join("cache")).ok();
    fs::write(directory.path().join("cache"), "a file").unwrap();
    let served = ssr(directory.path(), &["serve", "site.tar"]);
    let said = stderr(&served);
    assert_eq!(served.status.code(), Some(73), "{said}");
    assert!(said.contains("XDG_CACHE_HOME") && said.contains("containerd-shim-ssr-unpacked"), "{said}");
}
