//! `ssr build`, from the command line.

mod common;

use std::fs;

use common::{ssr, stderr};

#[test]
fn an_error_in_the_site_shows_message_file_line_and_stack_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // Line 1, column 1 of the bundle is line 10, column 5 of src/page.jsx.
    let map = r#"{"version":3,"sources":["../src/page.jsx"],"names":[],"mappings":"AASI"}"#;
    fs::write(directory.path().join("entry.js.map"), map).unwrap();
    fs::write(directory.path().join("entry.js"), "(function start() { missing(); })();").unwrap();
    let built = ssr(directory.path(), &["build", "entry.js", "-o", "out.wasm"]);
    assert_eq!(built.status.code(), Some(1));
    let said = stderr(&built);
    assert!(
        said.contains("ReferenceError: missing is not defined\n    at start (src/page.jsx:10:5)"),
        "{said}"
    );
    assert!(!directory.path().join("out.wasm").exists());
}

#[test]
fn a_failed_build_keeps_the_previous_module() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ssr.wasm"), "before").unwrap();
    fs::write(directory.path().join("entry.js"), "export const nothing = 1").unwrap();
    let built = ssr(directory.path(), &["build", "entry.js"]);
    assert_eq!(built.status.code(), Some(1));
    assert!(stderr(&built).contains("it exports: nothing"), "{}", stderr(&built));
    assert_eq!(fs::read_to_string(directory.path().join("ssr.wasm")).unwrap(), "before");
}

#[test]
fn a_missing_entry_or_template_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let built = ssr(directory.path(), &["build", "nowhere.js"]);
    assert_eq!(built.status.code(), Some(1));
    assert!(stderr(&built).contains("cannot read the entry module 'nowhere.js'"), "{}", stderr(&built));
    fs::write(directory.path().join("entry.js"), "export const render = () => ''").unwrap();
    let built = ssr(directory.path(), &["build", "entry.js", "--template", "index.html"]);
    assert!(stderr(&built).contains("cannot read the template 'index.html'"), "{}", stderr(&built));
}

#[test]
fn equal_input_gives_equal_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let source = "const made = [Math.random(), Date.now()]; export const render = () => made.join()";
    fs::write(directory.path().join("entry.js"), source).unwrap();
    for output in ["a.wasm", "b.wasm"] {
        let built = ssr(directory.path(), &["build", "entry.js", "-o", output]);
        assert!(built.status.success(), "{}", stderr(&built));
    }
    let read = |name| fs::read(directory.path().join(name)).unwrap();
    assert!(read("a.wasm") == read("b.wasm"), "the two modules differ");
}

#[test]
fn runaway_recursion_at_load_time_is_an_error_and_not_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("entry.js"), "function f() { return f() + 1 }\nf();").unwrap();
    let built = ssr(directory.path(), &["build", "entry.js"]);
    assert_eq!(built.status.code(), Some(1));
    assert!(stderr(&built).contains("call stack"), "{}", stderr(&built));
}

#[test]
fn what_is_no_es_module_of_ours_is_named_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let nested = format!("export default [\n{}{}];", "[".repeat(5000), "]".repeat(5000));
    for (source, says) in [
        ("module.exports = { render: () => '' }", "CommonJS module, and a site is one ES module"),
        ("exports.render = () => ''", "CommonJS module, and a site is one ES module"),
        ("const { h } = require('preact'); export const render = () => ''", "ssr.noExternal: true"),
        ("export const render = () => __dirname; render()", "import what it reads"),
        ("let a;\nlet b = '\0'", "has a NUL byte in line 2, column 10"),
        ("let a = 1;\n  let 2b", "entry.js:2:7"),
        (&nested, "RangeError: Maximum call stack size exceeded\n    at entry.js:2:"),
    ] {
        fs::write(directory.path().join("entry.js"), source).unwrap();
        let built = ssr(directory.path(), &["build", "entry.js"]);
        let said = stderr(&built);
        assert!(built.status.code() == Some(1) && said.contains(says), "{says}: {said}");
    }
}
