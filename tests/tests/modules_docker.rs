//! Modules that people have made with their own languages and tools, under Docker. Run by
//! `make test-modules`.

use serde_json::json;
use ssr_e2e::{Docker, Image, foreign_module, http};

const RUN: &str = "--runtime=io.containerd.ssr.v1 --platform=wasi/wasm";

#[test]
fn programs_of_several_languages_run_as_linux_ones_would() {
    let docker = Docker::shared();
    let [lua, python] = [&include_bytes!("../modules/probe.lua")[..], include_bytes!("../modules/probe.py")];
    let scripts = [("lua", "/data/probe.lua"), ("python", "/data/probe.py")];
    for name in ["c", "go", "assemblyscript", "lua", "python"] {
        let module = foreign_module(&format!("{name}.wasm"));
        let files = [
            ("module.wasm", module.as_slice()),
            ("data/file", b"of the image\n"),
            ("data/probe.lua", lua),
            ("data/probe.py", python),
        ];
        let config = json!({ "Entrypoint": ["/module.wasm"], "User": "65532:65532" });
        let image = docker.loaded(Image::from_files(&config, &files));
        let script = scripts.iter().find(|(of, _)| *of == name).map_or("", |(_, script)| script);
        let run = format!("docker run --rm {RUN} -e NAME=value {} {script} 'a b' c", image.short_name());
        let told = docker.try_sh(&run);
        let file = if name == "assemblyscript" { "" } else { "of the image\n" };
        let right = format!("argument a b\nargument c\nNAME=value\n{file}");
        assert_eq!((told.code, told.stdout), (3, right), "{name}: {}", told.stderr);
    }
}

#[test]
fn components_and_javy_modules_answer_behind_a_published_port() {
    let docker = Docker::shared();
    for (name, env, page) in [
        ("componentize-js", "A=1", "GET /page?a=b"),
        ("componentize-qjs", "A=1", "GET /page?a=b"),
        ("javy.static", "SSR_GUEST=javy", "<h1>GET /page?a=b</h1>"),
    ] {
        let module = foreign_module(&format!("{name}.wasm"));
        let config = json!({ "Entrypoint": ["/module.wasm"], "Env": [env], "User": "65532:65532" });
        let image = docker.loaded(Image::from_files(&config, &[("module.wasm", module.as_slice())]));
        let site = docker.named("foreign");
        let port = http::free_port();
        docker.sh(&format!(
            "docker run -d --name foreign -p 127.0.0.1:{port}:8080 {RUN} {}",
            image.short_name()
        ));
        site.wait_for_log("listening");
        assert_eq!(http::get(&format!("http://127.0.0.1:{port}/page?a=b")).body.trim(), page, "{name}");
        docker.sh("docker stop foreign");
        assert_eq!(site.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0", "{name}");
    }
}
