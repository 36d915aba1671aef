use std::fs::{self, File};
use std::io::Write as _;

use tokio::sync::mpsc;

use super::attach::{CompiledEngine, Engines, attach};
use super::parts::Parts;
use crate::abi::response::{ResponsePart, ResponseSink};
use crate::guests::Guest as _;
use crate::guests::snapshot::{LoadError, Site};
use crate::limits::Limits;
use crate::own_engines;
use crate::target::Target;

const DATA: &str = r#"(data (i32.const 65536) "engine")"#;

/// A guest that answers with six bytes of its memory at 65536.
fn guest(pages: &str, data: &str, more: &str) -> Vec<u8> {
    let guest = format!(
        r#"(module
          (import "ssr_v1" "respond" (func $respond (param i32 i32 i32 i32)))
          (import "ssr_v1" "write" (func $write (param i32 i32)))
          (import "ssr_v1" "end" (func $end))
          (memory (export "memory") {pages})
          (func (export "ssr_input") (param i32) (result i32) (i32.const 0))
          (func $render
            (call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0))
            (call $write (i32.const 65536) (i32.const 6))
            (call $end))
          (export "ssr_render" (func $render))
          {more} {data}
          (@custom "ssr:site" "{{\"abi\":1,\"built_by\":\"test\"}}"))"#
    );
    wat::parse_str(guest).unwrap()
}

/// A program that carries that guest as its engine.
fn program() -> tempfile::NamedTempFile {
    let mut program = tempfile::NamedTempFile::new().unwrap();
    program.write_all(b"a program").unwrap();
    let engine = guest("2", DATA, "");
    let compiled = Target::carried().iter().map(|target| CompiledEngine::compile(&engine, "1.2.3", *target));
    attach(program.as_file_mut(), &compiled.collect::<Result<Vec<_>, _>>().unwrap()).unwrap();
    program
}

fn engines(program: &tempfile::NamedTempFile) -> Engines {
    Engines::of(program.reopen().unwrap()).unwrap().expect("this processor has a compiler's back end")
}

fn load(engines: &Engines, site: &[u8]) -> Option<Site> {
    let (_, code) = own_engines::code(own_engines::carried(engines), site).unwrap()?;
    Some(Site::load("site.wasm", code, &Limits { render_threads: 1, ..Limits::default() }).unwrap())
}

/// Whether a site runs on one of the engines.
fn runs(engines: &Engines, site: &[u8]) -> bool {
    own_engines::code(own_engines::carried(engines), site).unwrap().is_some()
}

fn page(site: &Site) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (parts, mut response) = mpsc::channel(2);
    let sink =
        ResponseSink { id: "1".into(), client: None, body: None, parts, runtime: runtime.handle().clone() };
    site.render(b"", sink).unwrap();
    match response.try_recv().unwrap() {
        ResponsePart::Whole(_, body) => String::from_utf8(body.to_vec()).unwrap(),
        part => panic!("{part:?}"),
    }
}

#[test]
fn a_site_runs_on_its_engines_machine_code_with_a_memory_of_its_own() {
    let program = program();
    let engines = engines(&program);
    let one = load(&engines, &guest("3", r#"(data (i32.const 65536) "site 1")"#, "")).unwrap();
    let other = r#"(data "") (data (i32.const 65541) "2") (data (i32.const 65536) "site ")"#;
    let other = load(&engines, &guest("7", other, "")).unwrap();
    assert_eq!([page(&one), page(&other), page(&one)], ["site 1", "site 2", "site 1"]);
    // Its machine code is mapped from the program, once for each.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = program.path().to_str().unwrap();
    let code = maps.lines().filter(|line| line.contains("r-xp") && line.ends_with(path));
    assert_eq!(code.count(), 2, "{maps}");
    drop(one);
    assert_eq!(page(&other), "site 2");
    other.unload();
    assert_eq!(page(&other), "site 2");
}

#[test]
fn a_limit_below_what_a_site_begins_with_is_told_from_damage() {
    let engines = engines(&program());
    let site = guest("40", DATA, "");
    let limits = Limits { render_threads: 1, render_memory_limit: 1 << 20, ..Limits::default() };
    let (_, code) = own_engines::code(own_engines::carried(&engines), &site).unwrap().unwrap();
    for error in
        [Site::load("site.wasm", code, &limits).err(), Site::compile("site.wasm", &site, &limits).err()]
    {
        let Some(LoadError::Limits(reason)) = error else { panic!("{error:?}") };
        assert!(reason.starts_with("it needs 3 MiB of memory"), "{reason}");
    }
}

#[test]
fn other_code_is_not_the_engines() {
    let engines = engines(&program());
    let site = |more| runs(&engines, &guest("2", DATA, more));
    assert!(site(""));
    for more in [
        "(func unreachable)",
        "(global i32 (i32.const 0))",
        "(table 1 funcref) (elem (i32.const 0) $render)",
        "(start $render)",
        "(type (func (param i64)))",
        r#"(export "ssr_warm" (func $render))"#,
    ] {
        assert!(!site(more), "{more}");
    }
    // Other exports do not matter: nobody calls them.
    assert!(site(r#"(export "other" (func $render))"#));
}

#[test]
fn what_the_engine_could_not_have_is_compiled() {
    let engines = engines(&program());
    for (pages, data, why) in [
        ("1", DATA, "the engine relies on its least memory"),
        ("2 9", DATA, "it could not grow as the engine does"),
        ("2", r#"(data (i32.const 131070) "beyond")"#, "outside the memory"),
        ("2", r#"(data (i32.const -1) "beyond")"#, "outside the memory"),
        ("4096", r#"(data (i32.const 0) "a") (data (i32.const 0xfff0000) "z")"#, "mostly empty"),
        ("2", "", "no memory image"),
    ] {
        assert!(!runs(&engines, &guest(pages, data, "")), "{why}");
    }
}

#[test]
fn a_damaged_module_is_none_of_the_engines_sites() {
    let engines = engines(&program());
    let site = guest("2", r#"(data (i32.const 65536) "site 1")"#, "");
    let whole = Parts::of(&site).unwrap().digest();
    for length in 0..site.len() {
        if let Some(parts) = Parts::of(&site[..length]) {
            // Only custom sections are missing.
            assert_eq!(parts.digest(), whole);
        }
        let mut damaged = site.clone();
        damaged[length] ^= 0x41;
        runs(&engines, &damaged);
    }
    let twice = [&site[..], &site[8..]].concat();
    assert!(Parts::of(&twice).is_none());
}

#[test]
fn a_program_stays_as_it_is_and_its_engines_can_be_replaced() {
    let mut program = program();
    let bytes = || fs::read(program.path()).unwrap();
    let before = bytes();
    assert!(before.starts_with(b"a program"));
    let list = engines(&program).list().to_vec();
    assert!(list.iter().all(|engine| engine.version == "1.2.3"));
    let compile = || {
        let engine = guest("2", DATA, "");
        Target::carried()
            .iter()
            .map(move |target| CompiledEngine::compile(&engine, "1.2.3", *target).unwrap())
    };
    attach(
        &mut File::options().read(true).write(true).open(program.path()).unwrap(),
        &compile().collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(before == bytes(), "the same engines give the same bytes");
    attach(program.as_file_mut(), &[]).unwrap();
    assert!(Engines::of(program.reopen().unwrap()).unwrap().is_none());
    assert!(fs::read(program.path()).unwrap().starts_with(b"a program"));
    // What only looks like an index.
    program.as_file_mut().write_all(b"\xff\xff\xff\xff\xff\xff\xff\xffssrengs1").unwrap();
    assert!(Engines::of(program.reopen().unwrap()).unwrap().is_none());
}
