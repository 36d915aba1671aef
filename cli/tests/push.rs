//! `ssr push`, to Debian's docker-registry: `scripts/setup.sh registry` puts it into .cache.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{ssr, stderr, stdout};
use serde_json::{Value, json};

/// `user:secret`, as htpasswd has it and as Docker keeps it.
const HTPASSWD: &str = "user:$2b$05$eRAyJP8BTcLUi/D/Yn6mpO9ZVCY.pqTL7EqyC.sr7d8mgfiZJUcF2\n";
const AUTH: &str = "dXNlcjpzZWNyZXQ=";

/// A registry on loopback.
struct Registry {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Registry {
    fn start(options: &[&str]) -> Self {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/registry/usr/bin/docker-registry");
        assert!(program.exists(), "docker-registry is missing: run scripts/setup.sh registry");
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        fs::write(at("htpasswd"), HTPASSWD).unwrap();
        let mut http = json!({ "addr": address });
        let mut config =
            json!({ "version": 0.1, "storage": { "filesystem": { "rootdirectory": at("data") } } });
        if options.contains(&"auth") {
            config["auth"] = json!({ "htpasswd": { "realm": "test", "path": at("htpasswd") } });
        }
        if options.contains(&"tls") {
            let made = Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=127.0.0.1",
                ])
                .args([
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                    "-addext",
                    "basicConstraints=critical,CA:FALSE",
                ])
                .args(["-keyout", &at("key.pem"), "-out", &at("certificate.pem")])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", stderr(&made));
            http["tls"] = json!({ "certificate": at("certificate.pem"), "key": at("key.pem") });
        }
        config["http"] = http;
        // JSON is YAML.
        fs::write(at("config.yml"), config.to_string()).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let child = Command::new(program)
            .args(["serve", &at("config.yml")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Self { child, address, directory };
        let begun = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", registry.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// How many requests of a method the log has.
    fn requests(&self, method: &str) -> usize {
        self.log().matches(&format!("\"{method} /v2/")).count()
    }

    /// What a client that knows single manifests only gets.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json";
        write!(stream, "GET /v2/{path} HTTP/1.0\r\nhost: {}\r\naccept: {accept}\r\n\r\n", self.address)
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        (String::from_utf8(answer[..head].to_vec()).unwrap(), answer[head + 4..].to_vec())
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).1).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with site.tar: an empty module and some assets.
fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("dist")).unwrap();
    fs::write(directory.path().join("ssr.wasm"), b"\0asm\x01\0\0\0").unwrap();
    // More than one chunk, which does not compress.
    let noise: Vec<u8> =
        (0..300_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8).collect();
    fs::write(directory.path().join("dist/noise.bin"), noise).unwrap();
    let args = ["image", "--wasm", "ssr.wasm", "--static", "dist", "--tag", "site", "-o", "site.tar"];
    let packed = ssr(directory.path(), &args);
    assert!(packed.status.success(), "{}", stderr(&packed));
    directory
}

/// `ssr push` by somebody whose only credentials are in `directory`.
fn push(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(common::binary());
    for inherited in
        ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSL_CERT_FILE"]
    {
        command.env_remove(inherited);
    }
    command.env("HOME", directory).envs(env.iter().copied()).current_dir(directory);
    command.arg("push").args(args).stdin(Stdio::null()).output().unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert_eq!(output.stdout, b"");
    stderr(output)
}

#[test]
fn an_image_arrives_as_one_manifest_and_what_is_there_is_not_sent_again() {
    let registry = Registry::start(&[]);
    let directory = site();
    let name = format!("{}/me/site:1.2", registry.address);
    let pushed = push(directory.path(), &["site.tar", &name, "--plain-http"], &[]);
    let printed = stdout(&pushed);
    let (repository, digest) = printed.trim_end().split_once('@').unwrap();
    assert_eq!(repository, format!("{}/me/site", registry.address));

    let (head, _) = registry.get("me/site/manifests/1.2");
    assert!(head.contains("Content-Type: application/vnd.oci.image.manifest.v1+json"), "{head}");
    assert!(head.contains(&format!("Docker-Content-Digest: {digest}")), "{head}");
    let manifest = registry.json("me/site/manifests/1.2");
    let config = registry.json(&format!("me/site/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    assert_eq!((&config["os"], &config["architecture"]), (&json!("wasi"), &json!("wasm")));
    let layer =
        registry.get(&format!("me/site/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap())).1;
    assert_eq!(layer.len() as u64, manifest["layers"][0]["size"]);

    let sent = registry.requests("PUT");
    let again =
        push(directory.path(), &["site.tar", &format!("{}/me/site", registry.address), "--plain-http"], &[]);
    assert_eq!(stdout(&again), printed, "the same image");
    assert_eq!(stderr(&again).matches("is there already").count(), 2, "{}", stderr(&again));
    assert_eq!(registry.requests("PUT"), sent + 1, "the manifest alone: {}", registry.log());
    assert!(registry.get("me/site/manifests/latest").0.contains(digest), "without a tag it is latest");
}

#[test]
fn what_docker_saved_without_a_manifest_gets_one() {
    let registry = Registry::start(&[]);
    let directory = site();
    // Docker's older format: the documents of the archive without index.json, and a plain layer.
    let unpacked = directory.path().join("unpacked");
    let mut archive = tar::Archive::new(fs::File::open(directory.path().join("site.tar")).unwrap());
    archive.unpack(&unpacked).unwrap();
    let mut saved: Value =
        serde_json::from_slice(&fs::read(unpacked.join("manifest.json")).unwrap()).unwrap();
    let layer = fs::File::open(unpacked.join(saved[0]["Layers"][0].as_str().unwrap())).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(layer).read_to_end(&mut plain).unwrap();
    fs::write(unpacked.join("layer.tar"), plain).unwrap();
    saved[0]["Layers"][0] = json!("layer.tar");
    fs::write(unpacked.join("manifest.json"), saved.to_string()).unwrap();
    fs::remove_file(unpacked.join("index.json")).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(directory.path().join("saved.tar")).unwrap());
    tar.append_dir_all("", &unpacked).unwrap();
    tar.finish().unwrap();

    let name = format!("{}/saved", registry.address);
    let pushed = stdout(&push(directory.path(), &["saved.tar", &name, "--plain-http"], &[]));
    let manifest = registry.json("saved/manifests/latest");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let again = stdout(&push(directory.path(), &["saved.tar", &name, "--plain-http"], &[]));
    assert_eq!(pushed, again, "compressed to the same bytes");
}

/// Writes a file of credentials.
fn write(directory: &Path, file: &str, config: &Value) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn credentials_of_docker_podman_and_helpers_are_used() {
    let registry = Registry::start(&["auth"]);
    let directory = site();
    let home = directory.path();
    let at = |name: &str| home.join(name).display().to_string();
    let name = format!("{}/site", registry.address);
    let known = json!({ "auths": { registry.address.clone(): { "auth": AUTH } } });
    let helper = home.join("bin/docker-credential-test");
    fs::create_dir(home.join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\nread server\ntest \"$1 $server\" = 'get {}' || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
         echo '{{\"ServerURL\":\"'$server'\",\"Username\":\"user\",\"Secret\":\"secret\"}}'\n",
        registry.address
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
    for (file, config, env) in [
        (".docker/config.json", known.clone(), ("A", "b".to_owned())),
        ("docker/config.json", known.clone(), ("DOCKER_CONFIG", at("docker"))),
        ("auth.json", known.clone(), ("REGISTRY_AUTH_FILE", at("auth.json"))),
        ("run/containers/auth.json", known, ("XDG_RUNTIME_DIR", at("run"))),
        (
            ".docker/config.json",
            json!({ "credHelpers": { registry.address.clone(): "test" } }),
            ("PATH", path.clone()),
        ),
        (
            ".docker/config.json",
            json!({ "auths": { registry.address.clone(): {} }, "credsStore": "test" }),
            ("PATH", path),
        ),
    ] {
        write(home, file, &config);
        let pushed = push(home, &["site.tar", &name, "--plain-http"], &[(env.0, &env.1)]);
        assert!(pushed.status.success(), "{file} {config}: {}", stderr(&pushed));
        fs::remove_file(home.join(file)).unwrap();
    }

    let said = refused(&push(home, &["site.tar", &name, "--plain-http"], &[]));
    for part in ["(401", "no credentials", ".docker/config.json", "`docker login", "`podman login"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // user:wrong
    let wrong = json!({ "auths": { registry.address.clone(): { "auth": "dXNlcjp3cm9uZw==" } } });
    write(home, ".docker/config.json", &wrong);
    let said = refused(&push(home, &["site.tar", &name, "--plain-http"], &[]));
    for part in ["'user'", "(401", ".docker/config.json", "log in again with `docker login"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("wrong"), "the password is shown: {said}");
}

#[test]
fn plain_http_is_spoken_only_if_it_is_asked_for() {
    let (plain, tls) = (Registry::start(&[]), Registry::start(&["tls"]));
    let directory = site();
    let push = |registry: &Registry, flags: &[&str], env: &[(&str, &str)]| {
        let name = format!("{}/site", registry.address);
        push(directory.path(), &[&["site.tar", &*name], flags].concat(), env)
    };
    let said = refused(&push(&plain, &[], &[]));
    assert!(said.contains("does not speak HTTPS") && said.contains("add --plain-http"), "{said}");
    let said = refused(&push(&tls, &[], &[]));
    assert!(said.contains("is not trusted") && said.contains("SSL_CERT_FILE"), "{said}");
    let said = refused(&push(&tls, &["--plain-http"], &[]));
    assert!(said.contains("leave --plain-http out"), "{said}");
    let certificate = tls.directory.path().join("certificate.pem").display().to_string();
    let pushed = push(&tls, &[], &[("SSL_CERT_FILE", &certificate)]);
    assert!(pushed.status.success(), "{}", stderr(&pushed));
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let directory = site();
    let at = |name: &str| -> PathBuf { directory.path().join(name) };
    let mut damaged = fs::read(at("site.tar")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(at("damaged.tar"), damaged).unwrap();
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let digest = format!("{free}/site@sha256:{}", "0".repeat(64));
    for (archive, name, says) in [
        ("site.tar", format!("{free}/site"), "cannot reach"),
        ("site.tar", "no.such.host.invalid/site".to_owned(), "cannot reach no.such.host.invalid"),
        ("site.tar", digest, "leave out `@…`"),
        ("site.tar", format!("{free}/Site"), "invalid reference format"),
        ("damaged.tar", format!("{free}/site"), "the archive is damaged"),
        ("ssr.wasm", format!("{free}/site"), "'ssr.wasm': it is no image archive"),
        ("none.tar", format!("{free}/site"), "'none.tar'"),
    ] {
        let said = refused(&push(directory.path(), &[archive, &name], &[]));
        assert!(said.contains(says), "{archive} {name}: {said}");
    }
}
