//! Programs that run for each request: WAGI's and Javy's.

use serde_json::json;
use ssr_e2e::{Containerd, Image, built_module, shell};

const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

/// An image of the tests' CGI program, with assets.
fn cgi(target: &str) -> Image {
    let program = built_module(&format!("cgi.{target}.wasm"));
    let config = json!({
        "Entrypoint": ["/cgi.wasm"], "Cmd": ["/dist"], "User": "65532:65532", "Env": ["SSR_GUEST=wagi", "NAME=image"]
    });
    let files = [
        ("cgi.wasm", program.as_slice()),
        ("dist/hello.txt", b"hello from the assets\n"),
        ("data/file", b"of the image\n"),
    ];
    Image::from_files(&config, &files)
}

fn post(url: &str, body: &str) -> String {
    let mut curl = std::process::Command::new("curl");
    shell::run(curl.args(["-sS", "-i", "-H", "Proxy: evil", "--data-binary", body]).arg(url)).success().stdout
}

#[test]
fn a_wagi_program_gets_the_request_as_cgi_has_it_and_answers_on_its_output() {
    let containerd = Containerd::shared();
    for target in TARGETS {
        let site = containerd.container(&cgi(target)).start();
        assert_eq!(site.get("/hello.txt").body, "hello from the assets\n", "{target}");
        assert_eq!(site.get("/any/path").body, "hello from /any/path", "{target}");
        let told = post(&site.url("/env/?greet=matt&foo=b%20r"), "some body");
        for part in [
            "200 OK",
            "args=[\"/env/\", \"greet=matt\", \"foo=b%20r\"]",
            "\nREQUEST_METHOD=POST\n",
            "\nQUERY_STRING=greet=matt&foo=b%20r\n",
            "\nPATH_INFO=/env/\n",
            "\nSCRIPT_NAME=/\n",
            "\nX_MATCHED_ROUTE=/...\n",
            "\nREMOTE_ADDR=127.0.0.1\n",
            "\nCONTENT_LENGTH=9\n",
            "\nSERVER_NAME=127.0.0.1\n",
            "\nGATEWAY_INTERFACE=CGI/1.1\n",
            "\nNAME=image\n",
        ] {
            assert!(told.contains(part), "{target}: {part}: {told}");
        }
        assert!(!told.contains("HTTP_PROXY"), "{told}");
        let echoed = post(&site.url("/echo"), "what is sent");
        assert!(echoed.contains("x-length: 12\r\n") && echoed.ends_with("what is sent"), "{echoed}");
        let teapot = site.get("/teapot");
        assert_eq!((teapot.status, teapot.body.as_str()), (418, "short and stout"), "{target}");
        assert_eq!(site.get("/stream").body, "0\n1\n2\n", "{target}");
        assert_eq!(site.get("/big").body.len(), 100 << 16, "{target}");
        assert_eq!(site.get("/read?/data/file").body, "of the image\n", "{target}");
        assert_eq!(site.get("/read?/proc/self/environ").status, 404, "{target}");
        assert_eq!(site.get("/log").body, "logged", "{target}");
        site.wait_for_log("a word for the log");
        assert_eq!(site.stop().code, 0, "{target}");
    }
}

#[test]
fn what_goes_wrong_in_one_run_is_only_that_requests() {
    let containerd = Containerd::shared();
    for target in TARGETS {
        let site = containerd.container(&cgi(target)).env("SSR_RENDER_TIMEOUT", "1s").start();
        for (path, status, says) in [
            ("/silent", 500, "printed nothing"),
            ("/headless", 500, "no headers and an empty line"),
            ("/exit", 500, "printed nothing"),
            ("/panic", 500, "on purpose"),
            ("/loop", 504, "SSR_RENDER_TIMEOUT"),
            ("/sleep", 504, "SSR_RENDER_TIMEOUT"),
        ] {
            assert_eq!(site.get(path).status, status, "{target} {path}");
            site.wait_for_log(says);
            assert_eq!(site.get("/").status, 200, "{target}: after {path}");
        }
        assert_eq!(site.get("/late").body, "before\n", "{target}");
        assert_eq!(site.exec(&["ssr", "health"]).code, 0);
        assert_eq!(site.stop().code, 0);
    }
}

#[test]
fn a_table_of_routes_says_which_module_answers_where_and_with_what() {
    let containerd = Containerd::shared();
    let routes = r#"
# Routes
[[module]]
route = "/"
module = "hello.wat"

[[module]]
route = "/cgi/..."
module = "file:///bin/cgi.wasm"
environment = { NAME = "route" }
volumes = { "/mine" = "/data", "/given" = "/volume", "/kernel" = "/proc" }

[[module]]
route = "/two/..."
module = "/bin/cgi.component.wasm"
"#;
    let hello = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "content-type:text/plain\n\nhello from text\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 41))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 60)))))"#;
    let config = json!({ "Entrypoint": ["/modules.toml"], "User": "65532:65532", "Env": ["NAME=image"] });
    let (core, component) = (built_module("cgi.wasm32-wasip1.wasm"), built_module("cgi.wasm32-wasip2.wasm"));
    let image = |routes: &str| {
        Image::from_files(
            &config,
            &[
                ("modules.toml", routes.as_bytes()),
                ("hello.wat", hello.as_bytes()),
                ("bin/cgi.wasm", &core),
                ("bin/cgi.component.wasm", &component),
                ("data/file", b"of the image\n"),
            ],
        )
    };
    let volume = containerd.dir().join("wagi-volume");
    std::fs::create_dir_all(&volume).expect("a directory");
    std::fs::write(volume.join("file"), "of the volume\n").expect("a file");
    std::os::unix::fs::symlink("/proc", volume.join("kernel")).ok();
    let mount = format!("type=bind,src={},dst=/volume,options=rbind:ro", volume.display());
    let start = |routes: &str| containerd.container(&image(routes)).option("--mount").option(&mount);
    let site = start(routes).start();
    assert_eq!(site.get("/").body, "hello from text\n");
    let env = site.get("/cgi/env").body;
    for part in
        ["\nNAME=route\n", "\nSCRIPT_NAME=/cgi\n", "\nPATH_INFO=/env\n", "\nX_MATCHED_ROUTE=/cgi/...\n"]
    {
        assert!(env.contains(part), "{part}: {env}");
    }
    assert!(site.get("/two/env").body.contains("\nNAME=image\n"));
    // Routes that the module tells itself.
    assert_eq!(site.get("/cgi/first").body, "first\n");
    assert_eq!(site.get("/cgi/second/deep").body, "second at /deep\n");
    // The volumes of its own route, and nothing else.
    assert_eq!(site.get("/cgi/read?/mine/file").body, "of the image\n");
    assert_eq!(site.get("/cgi/read?/given/file").body, "of the volume\n");
    assert_eq!(site.get("/cgi/read?/data/file").status, 404);
    assert_eq!(site.get("/two/read?/mine/file").status, 404);
    assert_eq!(site.get("/cgi/read?/kernel/version").status, 404);
    let none = site.get("/nowhere");
    assert!(none.status == 404 && none.body.contains("no module has a route"), "{}", none.body);
    assert_eq!(site.stop().code, 0);

    for (routes, code, says) in [
        ("[[module]]\nroute = '/'\nmodule = '/none.wasm'", 66, "/none.wasm"),
        ("[[module]]\nroute = '/'\nmodule = 'oci:a/b:1'", 65, "'oci:a/b:1' is not a file"),
        ("[[module]]\nroute = '/'\nmodule = 'hello.wat'\nentrypoint = 'none'", 65, "no function 'none'"),
        ("[[module]]\nroute = '/'\nmodule = 'hello.wat'\nvolumes = { '/a' = '/none' }", 65, "'/none'"),
        (
            "[[module]]\nroute = '/'\nmodule = 'hello.wat'\nvolumes = { '/a' = '/volume/kernel' }",
            65,
            "'/volume/kernel'",
        ),
        ("[[module]]\nroute = '/'", 65, "missing field `module`"),
    ] {
        let refused = start(routes).run();
        assert!(refused.code == code && refused.log.contains(says), "{} {}", refused.code, refused.log);
    }
}

#[test]
fn a_javy_module_gets_json_and_its_output_or_words_are_the_page() {
    let containerd = Containerd::shared();
    let program = built_module("cgi.wasm32-wasip1.wasm");
    let image = |function: &str| {
        let config = json!({
            "Entrypoint": [format!("/cgi.wasm{function}")], "User": "65532:65532", "Env": ["SSR_GUEST=javy", "PATH_INFO=/javy"]
        });
        Image::from_files(&config, &[("cgi.wasm", &program)])
    };
    let site = containerd.container(&image("")).start();
    let page = site.get("/page?a=b");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for part in ["<pre>{", "\"url\":\"/page?a=b\"", "\"method\":\"GET\"", "\"body\":null"] {
        assert!(page.body.contains(part), "{}", page.body);
    }
    assert_eq!(site.stop().code, 0);
    let site = containerd.container(&image("#first")).start();
    assert_eq!(site.get("/").body, "Content-Type: text/plain\n\nfirst\n");
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_dynamically_linked_javy_module_runs_with_the_plugin_beside_it() {
    let containerd = Containerd::shared();
    let module = r#"(module
  (import "javy_quickjs_provider_v9" "page" (func $page))
  (func (export "_start") (call $page)))"#;
    let plugin = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (data (i32.const 8) "<p>from the plugin</p>")
  (func (export "_initialize") (global.set $ready (i32.const 22)))
  (func (export "page")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (global.get $ready))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 60)))))"#;
    let config = json!({ "Entrypoint": ["/app/module.wat"], "Env": ["SSR_GUEST=javy"] });
    let module = ("app/module.wat", module.as_bytes());
    let run = |files: &[(&str, &[u8])]| Image::from_files(&config, files);
    let binary = wat::parse_str(plugin).expect("a module");
    for name in ["app/javy_quickjs_provider_v9.wasm", "app/plugin.wasm"] {
        let site = containerd.container(&run(&[module, (name, &binary)])).start();
        assert_eq!(site.get("/").body, "<p>from the plugin</p>");
        assert_eq!(site.get("/").body, "<p>from the plugin</p>");
        assert_eq!(site.stop().code, 0);
    }
    let refused = containerd.container(&run(&[module])).run();
    let says = "needs the plugin javy_quickjs_provider_v9: put it beside the module";
    assert!(refused.code == 65 && refused.log.contains(says), "{} {}", refused.code, refused.log);
}

#[test]
fn what_answers_is_named_if_it_cannot_answer_so() {
    let containerd = Containerd::shared();
    let run = |image: &Image, guest: &str| containerd.container(image).env("SSR_GUEST", guest).run();
    let wrong = run(&cgi(TARGETS[0]), "cgi");
    assert!(wrong.code == 78 && wrong.log.contains("SSR_GUEST: invalid value 'cgi'"), "{}", wrong.log);
    let handler = run(&Image::handler(), "wagi");
    assert!(handler.code == 65 && handler.log.contains("leave SSR_GUEST away"), "{}", handler.log);
    let site = containerd.site().env("SSR_GUEST", "javy").run();
    assert!(site.code == 65 && site.log.contains("it is a site"), "{}", site.log);
}
