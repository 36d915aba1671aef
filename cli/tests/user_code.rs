//! Modules that have to be compiled: once for a user, by a process that ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{binary, stderr};

/// Two functions, of which one is a program's beginning.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (func (export "_start") (call $exit (i32.const 3))))"#;

fn run(directory: &Path, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(directory).args(["run", "program.wat"]);
    command
        .env_remove("XDG_CACHE_HOME")
        .env_remove("HOME")
        .env("SSR_LOG_LEVEL", "info")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn compiles(run: &Output) -> bool {
    assert_eq!(run.status.code(), Some(3), "{}", stderr(run));
    stderr(run).contains("compiling program.wat")
}

#[test]
fn a_program_is_compiled_once_for_each_user() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("program.wat"), PROGRAM).unwrap();
    let home = directory.join("home");
    std::fs::create_dir(&home).unwrap();
    assert!(compiles(&run(directory, &[("HOME", &home)])));
    assert!(!compiles(&run(directory, &[("HOME", &home)])));
    assert!(!compiles(&run(directory, &[("XDG_CACHE_HOME", &home.join(".cache"))])));
    // A relative directory does not count.
    assert!(!compiles(&run(directory, &[("XDG_CACHE_HOME", Path::new("other")), ("HOME", &home)])));
    assert!(compiles(&run(directory, &[("XDG_CACHE_HOME", &directory.join("other"))])));
    // Another program.
    std::fs::write(directory.join("program.wat"), PROGRAM.replace("(func (export", "(func) (func (export"))
        .unwrap();
    assert!(compiles(&run(directory, &[("HOME", &home)])));
}

#[test]
fn without_a_directory_or_one_that_can_be_trusted_a_program_runs_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("program.wat"), PROGRAM).unwrap();
    let without = run(directory, &[]);
    assert!(
        compiles(&without) && stderr(&without).contains("neither XDG_CACHE_HOME nor HOME"),
        "{without:?}"
    );
    // Somebody else could put code there.
    let cache = directory.join("containerd-shim-ssr");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let untrusted = run(directory, &[("XDG_CACHE_HOME", directory)]);
    assert!(compiles(&untrusted) && stderr(&untrusted).contains("cannot be trusted"), "{untrusted:?}");
}

#[test]
fn what_does_not_compile_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let wrong = r#"(module (func (export "_start") (i32.const 1)))"#;
    std::fs::write(directory.join("program.wat"), wrong).unwrap();
    for _ in 0..2 {
        let run = run(directory, &[("HOME", directory)]);
        assert_eq!(run.status.code(), Some(65), "{run:?}");
        assert!(stderr(&run).contains("it does not compile"), "{}", stderr(&run));
    }
}
