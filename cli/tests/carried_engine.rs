//! `ssr engine attach` and `ssr inspect`: sites of the engines that a program carries are not
//! compiled.

mod common;

use std::fs;
use std::process::Command;

use wasm_encoder::Encode as _;

use common::{binary, build, ssr, stderr, stdout};

const ENGINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/engine/engine.wasm");

#[test]
fn a_program_carries_an_engine_and_tells_which_sites_are_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    build(dir, "export const render = () => '<p>hello';");
    fs::create_dir_all(dir.join("none")).unwrap();
    fs::create_dir_all(dir.join("with")).unwrap();
    let program = binary();
    let program = program.to_str().unwrap();
    let attached =
        ssr(dir, &["engine", "attach", program, "--engine", &format!("1.2.3={ENGINE}"), "-o", "with/ssr"]);
    stdout(&attached);
    let inspect = || {
        let mut inspect = Command::new(dir.join("with/ssr"));
        stdout(&inspect.current_dir(dir).args(["inspect", "ssr.wasm"]).output().unwrap())
    };
    let told = inspect();
    assert!(told.contains("a site, built by ssr") && told.contains("of release 1.2.3"), "{told}");
    assert!(told.contains("nothing is compiled") && told.contains("memory, ssr_input, ssr_render"), "{told}");
    // A module that is not of it: one more custom section changes nothing, one more type does.
    let site = fs::read(dir.join("ssr.wasm")).unwrap();
    fs::write(dir.join("ssr.wasm"), [&site[..], &[0, 2, 1, b'x']].concat()).unwrap();
    assert_eq!(told.lines().nth(2), inspect().lines().nth(2));
    fs::write(dir.join("ssr.wasm"), [&site[..8], &[1, 4, 1, 0x60, 0, 0], &site[8..]].concat()).unwrap();
    let told = inspect();
    assert!(!told.contains("carries: nothing is compiled"), "{told}");
    // The same program and engine give the same bytes.
    let again =
        ssr(dir, &["engine", "attach", "with/ssr", "--engine", &format!("1.2.3={ENGINE}"), "-o", "none/ssr"]);
    stdout(&again);
    assert!(fs::read(dir.join("with/ssr")).unwrap() == fs::read(dir.join("none/ssr")).unwrap());
}

#[test]
fn an_engine_for_another_processor_has_the_same_bytes_whenever_it_is_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    // Of a program only its header counts, with the number that ELF has for arm64.
    let mut program = b"\x7fELF".to_vec();
    program.resize(64, 0);
    program[18] = 183;
    fs::write(dir.join("program"), &program).unwrap();
    for output in ["first", "second"] {
        let engine = format!("1.2.3={ENGINE}");
        stdout(&ssr(dir, &["engine", "attach", "program", "--engine", &engine, "-o", output]));
    }
    let first = fs::read(dir.join("first")).unwrap();
    assert!(first.starts_with(&program) && first.len() > 1 << 20, "{} bytes", first.len());
    assert!(first == fs::read(dir.join("second")).unwrap());
}

#[test]
fn a_site_of_an_earlier_release_runs_on_the_engine_of_that_release() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    build(dir, "export const render = () => '<p>hello';");
    // The module with one more type, behind those that it has.
    let one_more_type = |module: &[u8]| {
        let mut changed = wasm_encoder::Module::new();
        for payload in wasmparser::Parser::new(0).parse_all(module) {
            let Some((id, range)) = payload.unwrap().as_section() else { continue };
            let mut content = module[range].to_vec();
            if id == wasm_encoder::SectionId::Type as u8 {
                let mut reader = wasmparser::BinaryReader::new(&content, 0);
                let mut types = Vec::new();
                (reader.read_var_u32().unwrap() + 1).encode(&mut types);
                let rest = &content[reader.original_position()..];
                content = [&types[..], rest, &[0x60, 0, 0]].concat();
            }
            changed.section(&wasm_encoder::RawSection { id, data: &content });
        }
        changed.finish()
    };
    // The other release's engine has one type more. So has a site that it would have made.
    fs::write(dir.join("earlier.wasm"), one_more_type(&fs::read(ENGINE).unwrap())).unwrap();
    let program = binary();
    let (new, earlier) = (format!("1.2.3={ENGINE}"), "1.2.2=earlier.wasm");
    let program = program.to_str().unwrap();
    stdout(&ssr(
        dir,
        &["engine", "attach", program, "--engine", &new, "--engine", earlier, "-o", "upgraded"],
    ));
    let inspect = || {
        let mut inspect = Command::new(dir.join("upgraded"));
        stdout(&inspect.current_dir(dir).args(["inspect", "ssr.wasm"]).output().unwrap())
    };
    assert!(inspect().contains("of release 1.2.3"), "{}", inspect());
    fs::write(dir.join("ssr.wasm"), one_more_type(&fs::read(dir.join("ssr.wasm")).unwrap())).unwrap();
    let told = inspect();
    assert!(told.contains("of release 1.2.2") && told.contains("nothing is compiled"), "{told}");
}

#[test]
fn what_cannot_carry_an_engine_or_is_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    fs::write(dir.join("script"), "#!/bin/sh\necho a script that is long enough\n").unwrap();
    fs::write(dir.join("short"), "x").unwrap();
    fs::write(dir.join("other.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let program = binary();
    let program = program.to_str().unwrap();
    let engine = format!("1={ENGINE}");
    for (program, engine, says) in [
        ("script", &*engine, "'script' is no Linux program for amd64 or arm64"),
        ("short", &engine, "cannot read 'short'"),
        ("missing", &engine, "cannot read 'missing'"),
        (program, "1=missing.wasm", "cannot read 'missing.wasm'"),
        (program, "1=other.wasm", "'other.wasm': the engine's module is none whose memory can be replaced"),
        (program, "other.wasm", "expected VERSION=FILE"),
    ] {
        let refused = ssr(dir, &["engine", "attach", program, "--engine", engine, "-o", "copy"]);
        assert!(!refused.status.success() && stderr(&refused).contains(says), "{}", stderr(&refused));
    }
    let left: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_is_no_module_is_no_site_and_a_program_is_told_from_one() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    fs::write(dir.join("text"), "hello").unwrap();
    fs::write(dir.join("hello.wat"), r#"(module (func (export "_start")) (memory (export "memory") 1))"#)
        .unwrap();
    let told = stdout(&ssr(dir, &["inspect", "hello.wat"]));
    assert!(told.contains("a program") && told.contains("exports   _start, memory"), "{told}");
    for (file, says) in [("text", "not a WebAssembly module"), ("missing", "'missing'")] {
        let refused = ssr(dir, &["inspect", file]);
        assert!(!refused.status.success() && stderr(&refused).contains(says), "{}", stderr(&refused));
    }
}
