//! `ssr completions` and `ssr man`.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot go on")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{ssr, stderr};

/// Standard output of a command that succeeds.
fn stdout(args: &[&str]) -> String {
    let output = ssr(Path::new("."), args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn run(command: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(command).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The page as a reader sees it, or its source where nothing renders it. Some
/// container images have a `man` that only prints a notice.
fn page(path: &Path) -> String {
    let text = path.to_str().unwrap();
    let real_man = run("man", &["--version"]).is_some_and(|version| version.starts_with("man "));
    run("mandoc", &["-T", "ascii", text])
        .or_else(|| if real_man { run("man", &["-l", text]) } else { None })
        .unwrap_or_else(|| fs::read_to_string(path).unwrap())
}

#[test]
fn bash_accepts_the_completion_script_and_completes_a_subcommand() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("ssr.bash");
    fs::write(&script, stdout(&["completions", "bash"])).unwrap();
    let script = script.to_str().unwrap();
    run("bash", &["-n", script]).unwrap();
    let complete = |words: &str, index: usize, word: &str| {
        let code = format!(
            "source '{script}'; COMP_WORDS=({words}); COMP_CWORD={index}; _ssr ssr '{word}' ''; \
             echo \"${{COMPREPLY[@]}}\""
        );
        run("bash", &["-c", &code]).unwrap()
    };
    assert_eq!(complete("ssr bui", 1, "bui"), "build\n");
    assert_eq!(complete("ssr cache exp", 2, "exp"), "export\n");
}

#[test]
fn every_shell_has_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("build") && script.contains("cache"), "{shell}: {script}");
    }
    let output = ssr(Path::new("."), &["completions", "csh"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn the_man_pages_describe_all_commands() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("new/man1");
    assert_eq!(stdout(&["man", "--dir", pages.to_str().unwrap()]), "");
    let mut names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let commands = [
        "",
        "-build",
        "-cache",
        "-cache-add",
        "-cache-clear",
        "-cache-export",
        "-cache-import",
        "-cache-key",
        "-cache-list",
        "-cache-remove",
        "-completions",
        "-image",
        "-inspect",
        "-man",
        "-node",
        "-node-check",
        "-node-install",
        "-node-remove",
        "-push",
        "-run",
        "-serve",
    ];
    let mut expected = commands.map(|command| format!("ssr{command}.1"));
    expected.sort();
    assert_eq!(names, expected);
    for name in names {
        let text = page(&pages.join(&name));
        assert!(text.contains("NAME") && text.contains("SYNOPSIS"), "{name}: {text}");
    }
    assert_eq!(stdout(&["man"]), fs::read_to_string(pages.join("ssr.1")).unwrap());
    assert!(page(&pages.join("ssr-build.1")).contains("ENTRY.js"));
    let add = page(&pages.join("ssr-cache-add.1"));
    assert_eq!(add.matches("former name").count(), 0, "{add}");
}
