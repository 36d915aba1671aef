//! WASI programs under Docker.

use ssr_e2e::{Docker, Image};

#[test]
fn a_program_runs_as_a_linux_one_would() {
    let docker = Docker::shared();
    let image = docker.loaded(Image::program("wasm32-wasip1", &[("data/file", b"of the image\n")]));
    let run = "docker run --rm -i --runtime=io.containerd.ssr.v1 --platform=wasi/wasm";
    let name = image.short_name();
    assert_eq!(docker.sh(&format!("{run} {name}")).trim(), "hello");
    assert_eq!(docker.sh(&format!("echo typed | {run} {name} cat")).trim(), "typed");
    assert_eq!(docker.sh(&format!("{run} -e NAME=value {name} env NAME")).trim(), "NAME=Ok(\"value\")");
    assert_eq!(docker.sh(&format!("{run} {name} read /data/file")).trim(), "of the image");
    assert_eq!(docker.try_sh(&format!("{run} {name} exit 42")).code, 42);
    let aborted = docker.try_sh(&format!("{run} {name} abort"));
    assert!(aborted.code == 134 && aborted.stderr.contains("wasm backtrace"), "{}", aborted.stderr);
}

#[test]
fn a_loops_output_is_in_the_log_as_it_runs_and_stop_ends_it_at_once() {
    let docker = Docker::shared();
    let image = docker.loaded(Image::program("wasm32-wasip1", &[]));
    let program = docker.named("ticking");
    let run = "docker run -d --name ticking --runtime=io.containerd.ssr.v1 --platform=wasi/wasm";
    docker.sh(&format!("{run} {} tick", image.short_name()));
    program.wait_for_log("tick\ntick\n");
    // Docker would kill it after ten seconds, with 137.
    docker.sh("docker stop ticking");
    assert_eq!(program.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 143");
}
