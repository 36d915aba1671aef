//! Components of WASI preview 3.

use serde_json::json;
use ssr_e2e::{Containerd, Image, built_module};

#[test]
fn a_command_of_preview_3_runs_as_any_other() {
    let containerd = Containerd::shared();
    let program = built_module("program.preview3.wasm");
    let config = json!({ "Entrypoint": ["/program.wasm"], "User": "65532:65532" });
    let image =
        Image::from_files(&config, &[("program.wasm", program.as_slice()), ("data/file", b"of the image\n")]);
    let run =
        |args: &[&str]| containerd.container(&image).args(["/program.wasm"].iter().chain(args).copied());
    let told = run(&["args", "a b", "c"]).run();
    assert_eq!((told.code, told.log.as_str()), (0, "[\"args\", \"a b\", \"c\"]\n"));
    assert_eq!(run(&["cat"]).run_with_input("what is read\n").log, "what is read\n");
    assert_eq!(run(&["read", "/data/file"]).run().log, "of the image\n");
    assert!(run(&["read", "/proc/self/environ"]).run().log.starts_with("error: "));
    assert_eq!(run(&["fail"]).run().code, 1);
    let trapped = run(&["trap"]).run();
    assert!(
        trapped.code == 134 && trapped.log.contains("wasm backtrace"),
        "{} {}",
        trapped.code,
        trapped.log
    );
    let ticking = run(&["tick"]).spawn();
    ticking.wait_for_log("tick\ntick\n");
    ticking.kill("SIGTERM");
    assert_eq!(ticking.wait().code, 143);
}

#[test]
fn a_component_of_preview_3_answers_requests() {
    let containerd = Containerd::shared();
    let component = built_module("handler.preview3.wasm");
    let config = json!({ "Entrypoint": ["/handler.wasm"], "Cmd": ["/dist"], "User": "65532:65532" });
    let files = [("handler.wasm", component.as_slice()), ("dist/hello.txt", b"hello from the assets\n")];
    let image = Image::from_files(&config, &files);
    let run = containerd.container(&image).env("SSR_RENDER_TIMEOUT", "1s").env("NAME", "value");
    let site = run.start();
    let page = site.get("/a?b=c");
    assert_eq!((page.status, page.header("x-from")), (200, "preview 3"));
    assert_eq!(page.body, "Method::Get /a?b=c");
    assert_eq!(site.get("/hello.txt").body, "hello from the assets\n");
    assert_eq!(site.get("/missing").status, 404);
    assert_eq!(site.get("/env?NAME").body, "Ok(\"value\")");
    assert_eq!(site.get("/stream").body.lines().count(), 5);
    for (path, status) in [("/trap", 500), ("/error", 500), ("/loop", 504), ("/sleep", 504)] {
        assert_eq!(site.get(path).status, status, "{path}");
        assert_eq!(site.get("/").status, 200, "after {path}");
    }
    assert_eq!(site.stop().code, 0);
}
