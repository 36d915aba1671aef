//! Modules that people have made with their own languages and tools, in containers. Run by
//! `make test-modules`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use ssr_e2e::{Containerd, Image, foreign_module, foreign_modules, shell};

/// What each language's program prints.
const TOLD: &str = "argument a b\nargument c\nNAME=value\nof the image\n";

/// Programs: the module, and the argument that names the script of an interpreter.
const PROGRAMS: [(&str, Option<&str>); 4] =
    [("c", None), ("go", None), ("lua", Some("/data/probe.lua")), ("python", Some("/data/probe.py"))];

fn program(name: &str) -> Image {
    let module = foreign_module(&format!("{name}.wasm"));
    let files = [
        ("module.wasm", module.as_slice()),
        ("data/file", b"of the image\n"),
        ("data/probe.lua", include_bytes!("../modules/probe.lua")),
        ("data/probe.py", include_bytes!("../modules/probe.py")),
    ];
    Image::from_files(&json!({ "Entrypoint": ["/module.wasm"], "User": "65532:65532" }), &files)
}

#[test]
fn programs_in_c_go_lua_and_python_have_their_arguments_variables_files_and_exit_codes() {
    let containerd = Containerd::shared();
    for (name, script) in PROGRAMS {
        let args = ["/module.wasm"].into_iter().chain(script).chain(["a b", "c"]);
        let told = containerd.container(&program(name)).env("NAME", "value").args(args).run();
        assert_eq!((told.code, told.log.as_str()), (3, TOLD), "{name}");
    }
}

#[test]
fn a_program_in_assemblyscript_has_its_arguments_variables_and_exit_code() {
    let containerd = Containerd::shared();
    let run = containerd.container(&program("assemblyscript")).env("NAME", "value");
    let told = run.args(["/module.wasm", "a b", "c"]).run();
    assert_eq!((told.code, told.log.as_str()), (3, "argument a b\nargument c\nNAME=value\n"));
}

#[test]
fn components_by_componentize_js_and_componentize_qjs_answer_requests() {
    let containerd = Containerd::shared();
    for name in ["componentize-js", "componentize-qjs"] {
        let module = foreign_module(&format!("{name}.wasm"));
        let config = json!({ "Entrypoint": ["/module.wasm"], "User": "65532:65532" });
        let image = Image::from_files(&config, &[("module.wasm", module.as_slice())]);
        let site = containerd.container(&image).start();
        for _ in 0..3 {
            assert_eq!(site.get("/page?a=b").body.trim(), "GET /page?a=b", "{name}: {}", site.log());
        }
        assert_eq!(site.stop().code, 0, "{name}");
    }
}

#[test]
fn javy_modules_answer_requests_whether_they_have_their_engine_or_its_plugin() {
    let containerd = Containerd::shared();
    let [plugin, linked, whole] =
        ["javy.plugin.wasm", "javy.dynamic.wasm", "javy.static.wasm"].map(foreign_module);
    let config = json!({ "Entrypoint": ["/page.wasm"], "Env": ["SSR_GUEST=javy"], "User": "65532:65532" });
    let images = [
        vec![("page.wasm", whole.as_slice())],
        vec![("page.wasm", linked.as_slice()), ("plugin.wasm", plugin.as_slice())],
        vec![("page.wasm", linked.as_slice()), ("javy-default-plugin-v3.wasm", plugin.as_slice())],
    ];
    for files in images {
        let site = containerd.container(&Image::from_files(&config, &files)).start();
        for _ in 0..3 {
            assert_eq!(site.get("/page?a=b").body, "<h1>GET /page?a=b</h1>", "{}", site.log());
        }
        assert_eq!(site.stop().code, 0);
    }
    let alone = containerd.container(&Image::from_files(&config, &[("page.wasm", &linked)])).run();
    assert!(alone.code == 65 && alone.log.contains("javy-default-plugin-v3"), "{} {}", alone.code, alone.log);
}

/// What Node's tests of WASI expect of Node, and wasmtime does otherwise.
const AS_IN_NODE: [(&str, &str); 4] = [
    ("cant_dotdot", "wants ENOTCAPABLE, where wasmtime has EPERM"),
    ("poll", "wants POLLHUP of a pipe that has ended"),
    ("readdir", "wants a directory without . and .."),
    ("symlink_escape", "wants ENOTCAPABLE, too"),
];

#[test]
fn the_wasi_tests_of_node_pass_except_for_what_wasmtime_does_otherwise() {
    let containerd = Containerd::shared();
    let tests = foreign_modules().join("wasi-tests");
    let mut names: Vec<_> = fs::read_dir(tests.join("wasm"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "{names:?}");
    let mut failed = Vec::new();
    for file in &names {
        let name = file.trim_end_matches(".wasm");
        let module = fs::read(tests.join("wasm").join(file)).expect("a module");
        let config =
            json!({ "Entrypoint": ["foo", "-bar", "--baz=value"], "Env": ["PATH=/", "NODE_PLATFORM=linux"] });
        // Linux has no hard link from one mount to another: both directories are the image's.
        let own: &[(&str, &[u8])] = match name {
            "link" => &[("sandbox/input.txt", b"hello from input.txt"), ("tmp/empty", b"")],
            _ => &[],
        };
        let image = Image::from_files(&config, &[&[("foo", module.as_slice())], own].concat());
        let place = containerd.dir().join("wasi-tests").join(name);
        sandbox(&place, name, &tests);
        let mount = |from: &str, to: &str| {
            format!("type=bind,src={},dst={to},options=rbind:rw", place.join(from).display())
        };
        let mut run = containerd.container(&image);
        if own.is_empty() {
            run = run.option("--mount").option(&mount("sandbox", "/sandbox"));
            run = run.option("--mount").option(&mount("tmp", "/tmp"));
        }
        let told = run.run_with_input("hello world");
        let code = if name == "exitcode" { 120 } else { 0 };
        let output = match name {
            "freopen" => Some("hello from input2.txt\n"),
            "read_file" => Some("hello from input.txt\n"),
            "read_file_twice" => Some("hello from input.txt\nhello from input.txt\n"),
            "stdin" => Some("hello world"),
            "create_symlink" | "follow_symlink" => Some("hello from input in subdir.txt"),
            _ => None,
        };
        if told.code != code || output.is_some_and(|output| told.log.trim_end() != output.trim_end()) {
            eprintln!("{name}: {} {}", told.code, told.log);
            failed.push(name);
        }
    }
    assert_eq!(failed, AS_IN_NODE.map(|(name, _)| name), "of {} tests", names.len());
}

/// The files that a test expects.
fn sandbox(place: &Path, name: &str, tests: &Path) {
    let sandbox = place.join("sandbox");
    fs::create_dir_all(place.join("tmp")).expect("a directory");
    if !name.contains("symlink") {
        let copied =
            std::process::Command::new("cp").arg("-r").arg(tests.join("sandbox")).arg(&sandbox).status();
        assert!(copied.expect("cp").success());
        return;
    }
    fs::create_dir_all(sandbox.join("subdir")).expect("a directory");
    fs::write(sandbox.join("input.txt"), "hello from input.txt").expect("a file");
    fs::write(sandbox.join("subdir/input-in-subdir.txt"), "hello from input in subdir.txt").expect("a file");
    fs::write(place.join("outside.txt"), "secret").expect("a file");
    for (target, link) in [
        ("./input-in-subdir.txt", "input_link.txt"),
        ("../../outside.txt", "outside.txt"),
        ("loop2", "loop1"),
        ("loop1", "loop2"),
    ] {
        symlink(target, sandbox.join("subdir").join(link)).expect("a link");
    }
    shell::run(std::process::Command::new("chmod").arg("-R").arg("a+rwX").arg(place)).success();
}
