//! Modules that are no sites: WASI programs run once, as Linux programs do.

use std::io::{Read as _, Write as _};

use serde_json::json;
use ssr_e2e::{Containerd, Image, shell};

const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

const HELLO: &str = r#";; says hello
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello from text\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 40))))
  (func (export "broken") unreachable))
"#;

#[test]
fn a_program_gets_arguments_environment_and_input_and_its_exit_code_counts() {
    let containerd = Containerd::shared();
    for target in TARGETS {
        let image = Image::program(target, &[]);
        let run = |args: &[&str]| containerd.container(&image).args(args.iter().copied());
        let told = run(&["/program.wasm", "args", "a b", "c"]).run();
        assert_eq!((told.code, told.log.as_str()), (0, "[\"args\", \"a b\", \"c\"]\n"), "{target}");
        let told = run(&["/program.wasm", "env", "NAME"]).env("NAME", "value").run();
        assert_eq!(told.log, "NAME=Ok(\"value\")\n", "{target}");
        let told = run(&["/program.wasm", "cat"]).run_with_input("what is read\n");
        assert_eq!((told.code, told.log.as_str()), (0, "what is read\n"), "{target}");
        assert_eq!(run(&["/program.wasm", "exit", "0"]).run().code, 0, "{target}");
    }
    // A component can only tell success from failure.
    for (target, exits) in TARGETS.into_iter().zip([[7, 255], [1, 1]]) {
        let image = Image::program(target, &[]);
        let codes = ["7", "255"]
            .map(|code| containerd.container(&image).args(["/program.wasm", "exit", code]).run().code);
        assert_eq!(codes, exits, "{target}");
    }
}

#[test]
fn a_text_module_runs_and_a_function_can_be_named() {
    let containerd = Containerd::shared();
    let config = |entrypoint: &str| json!({ "Entrypoint": [entrypoint], "User": "65532:65532" });
    let files = [("hello.wat", HELLO.as_bytes())];
    let image = Image::from_files(&config("/hello.wat"), &files);
    let hello = containerd.container(&image).run();
    assert_eq!((hello.code, hello.log.as_str()), (0, "hello from text\n"));
    // The second time, the code is in the node's cache.
    assert_eq!(containerd.container(&image).run().log, "hello from text\n");

    let image = Image::from_files(&config("/hello.wat#broken"), &files);
    let broken = containerd.container(&image).run();
    assert_eq!(broken.code, 134, "{}", broken.log);
    for part in ["wasm backtrace", "unreachable"] {
        assert!(broken.log.contains(part), "{}", broken.log);
    }
    let image = Image::from_files(&config("/hello.wat#none"), &files);
    let none = containerd.container(&image).run();
    assert!(none.code == 65 && none.log.contains("no function 'none'"), "{} {}", none.code, none.log);
}

#[test]
fn a_program_has_the_images_files_and_its_volumes_and_nothing_else() {
    let containerd = Containerd::shared();
    let volume = containerd.dir().join("volume");
    std::fs::create_dir_all(volume.join("inner")).expect("a directory");
    shell::run(std::process::Command::new("chmod").args(["-R", "777"]).arg(&volume)).success();
    std::fs::write(volume.join("file"), "of the volume\n").expect("a file");
    let mount = |place: &str, mode: &str| {
        format!("type=bind,src={},dst={place},options=rbind:{mode}", volume.display())
    };
    for target in TARGETS {
        let image = Image::program(target, &[("data/file", b"of the image\n"), ("top", b"at the top\n")]);
        let run = |args: &[&str]| {
            let run = containerd.container(&image).args(["/program.wasm"].iter().chain(args).copied());
            run.option("--mount")
                .option(&mount("/rw", "rw"))
                .option("--mount")
                .option(&mount("/ro", "ro"))
                .run()
                .log
        };
        assert_eq!(run(&["read", "/data/file"]), "of the image\n", "{target}");
        assert_eq!(run(&["read", "/top"]), "at the top\n", "{target}");
        assert_eq!(run(&["read", "/rw/file"]), "of the volume\n", "{target}");
        assert_eq!(run(&["write", "/rw/new"]), "ok\n", "{target}");
        assert_eq!(std::fs::read_to_string(volume.join("new")).expect("a file"), "written\n");
        assert!(run(&["write", "/ro/new"]).starts_with("error: "), "{target}");
        // Nothing of the kernel, which would give it this process's memory.
        for place in ["/proc/self/mem", "/proc/1/environ", "/sys/kernel", "/dev/null", "/rw/../proc/version"]
        {
            assert!(run(&["read", place]).starts_with("error: "), "{target}: {place}");
        }
        assert_eq!(run(&["list", "/proc"]), "[]\n", "{target}");
    }
}

#[test]
fn a_read_only_root_is_one_for_a_program_too() {
    let containerd = Containerd::shared();
    let config = json!({ "Entrypoint": ["/program.wasm"], "User": "0:0" });
    let program = ssr_e2e::compiled_program(TARGETS[0]);
    let image = Image::from_files(&config, &[("program.wasm", &program)]);
    let write = || containerd.container(&image).args(["/program.wasm", "write", "/new"]);
    assert_eq!(write().run().log, "ok\n");
    let refused = write().option("--read-only").run().log;
    assert!(refused.contains("error: "), "{refused}");
}

#[test]
fn output_appears_as_it_is_written_and_signals_stop_a_program_at_once() {
    let containerd = Containerd::shared();
    let image = Image::program(TARGETS[0], &[]);
    for (signal, code) in [("SIGTERM", 143), ("SIGINT", 130), ("SIGQUIT", 131)] {
        let program = containerd.container(&image).args(["/program.wasm", "tick"]).spawn();
        program.wait_for_log("tick\ntick\n");
        program.kill(signal);
        assert_eq!(program.wait().code, code, "{signal}");
    }
}

#[test]
fn a_program_runs_beside_another_by_exec() {
    let containerd = Containerd::shared();
    let image = Image::program(TARGETS[0], &[("data/file", b"of the image\n")]);
    let program = containerd.container(&image).args(["/program.wasm", "tick"]).detach();
    let told = program.exec(&["/program.wasm", "read", "/data/file"]);
    assert_eq!((told.code, told.stdout.as_str()), (0, "of the image\n"), "{}", told.stderr);
    assert_eq!(program.exec(&["/program.wasm", "exit", "9"]).code, 9);
    program.kill("SIGKILL");
    assert_eq!(program.wait().code, 137);
}

#[test]
fn the_first_argument_is_the_name_by_which_a_program_was_called() {
    let containerd = Containerd::shared();
    let program = ssr_e2e::compiled_program(TARGETS[0]);
    let config = json!({ "Entrypoint": ["tool.wasm"], "Env": ["PATH=/bin"], "User": "65532:65532" });
    let image = Image::from_files(&config, &[("bin/tool.wasm", program.as_slice()), ("top.wasm", &program)]);
    for called in ["/bin/tool.wasm", "/top.wasm", "top.wasm", "./top.wasm"] {
        let told = containerd.container(&image).args([called, "name"]).run();
        assert_eq!(told.log, format!("{called}\n"));
    }
}

#[test]
fn an_image_may_be_for_any_platform_that_tools_write() {
    let containerd = Containerd::shared();
    let program = ssr_e2e::compiled_program(TARGETS[0]);
    let config = json!({ "Entrypoint": ["/program.wasm"], "Cmd": ["args"], "User": "65532:65532" });
    for platform in ["wasi/wasm", "wasi/wasm32", "wasip1/wasm", "wasip2/wasm", own_platform()] {
        let image = Image::for_platform(platform, &config, &[("program.wasm", program.as_slice())]);
        let told = containerd.container(&image).option("--platform").option(platform).run();
        assert_eq!((told.code, told.log.as_str()), (0, "[\"args\"]\n"), "{platform}");
    }
}

/// That of Linux images here.
fn own_platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

#[test]
fn the_network_is_the_operators_to_give() {
    let containerd = Containerd::shared();
    let site = containerd.site().start();
    let address = site.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let image = Image::program(TARGETS[1], &[]);
    let connect = |network: &str| {
        containerd
            .container(&image)
            .env("SSR_NETWORK", network)
            .args(["/program.wasm", "connect", &address])
            .run()
    };
    assert!(connect("none").log.contains("error: "));
    assert!(connect("192.0.2.1").log.contains("error: "));
    let answer = connect("127.0.0.0/8").log;
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    let wrong = connect("http://x");
    assert!(wrong.code == 78 && wrong.log.contains("SSR_NETWORK"), "{} {}", wrong.code, wrong.log);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn memory_can_be_limited_below_the_containers() {
    let containerd = Containerd::shared();
    let image = Image::program(TARGETS[0], &[]);
    let grow = |limit: &str| {
        containerd
            .container(&image)
            .env("SSR_MEMORY_LIMIT", limit)
            .args(["/program.wasm", "grow", "64"])
            .run()
    };
    assert_eq!(grow("100MiB").log, "64 MiB\n");
    let refused = grow("32MiB");
    assert!(
        refused.code == 134 && refused.log.contains("memory allocation"),
        "{} {}",
        refused.code,
        refused.log
    );
}

#[test]
fn what_this_runtime_lacks_is_named_in_the_containers_log() {
    let containerd = Containerd::shared();
    let config = json!({ "Entrypoint": ["/module.wat"] });
    for (import, says) in [
        (r#""wasix_32v1" "fork""#, "needs wasix_32v1 (WASIX); this runtime offers WASI preview 1, 2 and 3"),
        (r#""wasi_snapshot_preview1" "sock_open""#, "WasmEdge's sockets"),
        (r#""wasi" "thread-spawn""#, "wasi-threads"),
    ] {
        let text = format!("(module (import {import} (func)) (func (export \"_start\")))");
        let refused =
            containerd.container(&Image::from_files(&config, &[("module.wat", text.as_bytes())])).run();
        assert!(refused.code == 65 && refused.log.contains(says), "{} {}", refused.code, refused.log);
    }
    let refused =
        containerd.container(&Image::from_files(&config, &[("module.wat", b"(module (fun))")])).run();
    assert!(refused.code == 65 && refused.log.contains("module.wat"), "{} {}", refused.code, refused.log);
}

#[test]
fn a_component_gets_a_body_as_it_arrives_and_answers_meanwhile() {
    let containerd = Containerd::shared();
    let site = containerd.container(&Image::handler()).env("SSR_MAX_BODY_SIZE", "64KiB").start();
    let address = site.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let connect = |head: &str| {
        let mut stream = std::net::TcpStream::connect(&address).expect("a connection");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a time limit");
        write!(stream, "POST /duplex HTTP/1.1\r\nhost: x\r\n{head}\r\n").expect("sent");
        stream
    };
    let mut stream = connect("transfer-encoding: chunked\r\nconnection: close\r\n");
    let mut answer = String::new();
    for number in 0..3 {
        stream.write_all(format!("6\r\npart {number}\r\n").as_bytes()).expect("sent");
        // The next part is sent when this one has come back.
        while !answer.contains(&format!("part {number}")) {
            let mut bytes = [0; 256];
            let length = stream.read(&mut bytes).expect("an answer");
            assert!(length > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }
    write!(stream, "0\r\n\r\n").expect("sent");
    stream.read_to_string(&mut answer).expect("the rest");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("0\r\n\r\n"), "{answer}");

    // Too large: at once if that is said, otherwise where the limit is.
    let mut stream = connect("content-length: 70000\r\n");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    let mut stream = connect("transfer-encoding: chunked\r\nconnection: close\r\n");
    let part = "x".repeat(0x10000);
    let _ = write!(stream, "10000\r\n{part}\r\n10000\r\n{part}\r\n0\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.contains("error: ") && answer.len() < 0x12000, "{}", answer.len());
    site.wait_for_log("larger than SSR_MAX_BODY_SIZE");
    // A client that goes away in the middle of it.
    let mut stream = connect("content-length: 1000\r\n");
    write!(stream, "part of it").expect("sent");
    drop(stream);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.stop().code, 0);
}

#[test]
fn a_component_answers_requests_beside_its_assets() {
    let containerd = Containerd::shared();
    let image = Image::handler();
    let run = containerd.container(&image).env("SSR_RENDER_TIMEOUT", "1s").env("NAME", "value");
    let site = run.env("SSR_NETWORK", "127.0.0.1").start();
    let page = site.get("/a?b=c");
    assert_eq!((page.status, page.header("x-from")), (200, "component"));
    assert!(page.body.starts_with("Method::Get /a?b=c"), "{}", page.body);
    assert_eq!(site.get("/missing").status, 404);
    assert_eq!(site.get("/env?NAME").body, "Ok(\"value\")");
    assert_eq!(site.get("/stream").body.lines().count(), 5);
    assert_eq!(site.get("/hello.txt").body, "hello from the assets\n");
    // It may ask whom the operator has named, and nobody else.
    let own = site.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(site.get(&format!("/fetch?{own}")).body, "hello from the assets\n");
    assert!(site.get("/fetch?192.0.2.1").body.contains("HttpRequestDenied"));
    site.wait_for_log("192.0.2.1:80 was refused: SSR_NETWORK");
    // What goes wrong in one request is only that one's.
    for (path, status) in [("/trap", 500), ("/nothing", 500), ("/loop", 504), ("/sleep", 504)] {
        assert_eq!(site.get(path).status, status, "{path}");
        assert_eq!(site.get("/").status, 200, "after {path}");
    }
    assert!(site.log().contains("wasm backtrace"), "{}", site.log());
    assert_eq!(site.exec(&["ssr", "health"]).code, 0);
    assert_eq!(site.stop().code, 0);
}
