//! WASI programs under Docker.

use serde_json::json;
use ssr_e2e::{Docker, Image, built_module, compiled_program, http};

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

#[test]
fn an_image_may_be_for_any_platform_that_tools_write() {
    let docker = Docker::shared();
    let program = compiled_program("wasm32-wasip1");
    let config = json!({ "Entrypoint": ["/program.wasm"], "Cmd": ["args"], "User": "65532:65532" });
    for platform in ["wasi/wasm", "wasi/wasm32", "wasip1/wasm", "wasip2/wasm"] {
        let image = Image::for_platform(platform, &config, &[("program.wasm", program.as_slice())]);
        let image = docker.loaded(image);
        let run = format!("docker run --rm --runtime=io.containerd.ssr.v1 --platform={platform}");
        assert_eq!(docker.sh(&format!("{run} {}", image.short_name())).trim(), "[\"args\"]", "{platform}");
    }
}

#[test]
fn a_wagi_program_and_a_component_of_preview_3_answer_behind_a_published_port() {
    let docker = Docker::shared();
    let serve = |name: &str, module: &str, env: &[&str]| {
        let module = built_module(module);
        let config = json!({ "Entrypoint": ["/module.wasm"], "Env": env, "User": "65532:65532" });
        let image = docker.loaded(Image::from_files(&config, &[("module.wasm", module.as_slice())]));
        let site = docker.named(name);
        let port = http::free_port();
        let run =
            format!("docker run -d --name {name} -p 127.0.0.1:{port}:8080 --runtime=io.containerd.ssr.v1");
        docker.sh(&format!("{run} --platform=wasi/wasm {}", image.short_name()));
        site.wait_for_log("listening");
        let answer = http::get(&format!("http://127.0.0.1:{port}/page?a=b")).body;
        docker.sh(&format!("docker stop {name}"));
        assert_eq!(site.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
        answer
    };
    assert_eq!(serve("wagi", "cgi.wasm32-wasip1.wasm", &["SSR_GUEST=wagi"]), "hello from /page");
    assert_eq!(serve("preview3", "handler.preview3.wasm", &[]), "Method::Get /page?a=b");
}
