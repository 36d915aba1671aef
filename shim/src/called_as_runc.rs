//! Someone who takes this binary for an OCI runtime, as Docker does when `daemon.json` names
//! it as a runtime's `path`: told so where runc's errors are looked for.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

/// runc's commands that engines call.
const COMMANDS: [&str; 9] =
    ["create", "run", "start", "state", "kill", "delete", "exec", "checkpoint", "features"];

const MESSAGE: &str = "containerd-shim-ssr-v1 is a shim of containerd's and takes no OCI runtime's commands: in \
    /etc/docker/daemon.json, name it by \"runtimeType\": \"io.containerd.ssr.v1\" instead of \"path\", or run containers \
    with --runtime io.containerd.ssr.v1";

/// The answer to runc's command line, or `None` if `args`, without the program's name, are not
/// one. runc's options have two hyphens; those of a shim have one.
pub fn answer(args: &[OsString]) -> Option<ExitCode> {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let command = words.iter().any(|word| COMMANDS.contains(word));
    let root = words.iter().any(|word| *word == "--root" || word.starts_with("--root="));
    if !(command && root || words == ["features"]) {
        return None;
    }
    eprintln!("{MESSAGE}");
    let log = words.iter().position(|word| *word == "--log").and_then(|place| words.get(place + 1));
    if let Some(log) = log {
        report(Path::new(log));
    }
    Some(ExitCode::FAILURE)
}

/// Appends the message as runc logs its errors, with `--log-format json`.
fn report(log: &Path) {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line = json!({ "level": "error", "msg": MESSAGE, "time": time });
    let opened = OpenOptions::new().append(true).create(true).open(log);
    // What was printed remains.
    let _ = opened.and_then(|mut log| writeln!(log, "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(words: &[&str]) -> bool {
        answer(&words.iter().map(OsString::from).collect::<Vec<_>>()).is_some()
    }

    #[test]
    fn runcs_command_line_is_answered_in_its_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_str().unwrap();
        assert!(answers(&[
            "--root",
            "/run/docker",
            "--log",
            path,
            "--log-format",
            "json",
            "create",
            "--bundle",
            "/b",
            "id"
        ]));
        let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["msg"].as_str().unwrap().contains("runtimeType"));
        assert!(answers(&["features"]));
    }

    #[test]
    fn a_shims_command_line_is_not() {
        for words in [
            &["-namespace", "n", "-address", "/a", "-publish-binary", "/c", "-id", "create", "start"][..],
            &["-namespace", "n", "-id", "i", "-bundle", "/b", "delete"],
            &["-info"],
            &["-v"],
            &[],
        ] {
            assert!(!answers(words), "{words:?}");
        }
    }
}
