//! The OCI runtime's log, a JSON object in each line (`--log-format json`).

use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
}

/// The last error in the log file, which is emptied.
pub fn take_error(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let _ = fs::write(file, "");
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut errors = lines.filter(|line| line.level == "error" || line.level == "fatal");
    errors.next().map(|line| line.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_taken_once() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let text = concat!(
            r#"{"level":"error","msg":"first","time":"2026-11-25T10:00:00Z"}"#,
            "\n",
            r#"{"level":"error","msg":"exec: \"x\": not found","time":"2026-11-25T10:00:00Z"}"#,
            "\nnot JSON\n",
            r#"{"level":"warning","msg":"harmless","time":"2026-11-25T10:00:01Z"}"#,
            "\n"
        );
        fs::write(log.path(), text).unwrap();
        assert_eq!(take_error(log.path()).as_deref(), Some("exec: \"x\": not found"));
        assert_eq!(take_error(log.path()), None);
        assert_eq!(take_error(Path::new("/no/such")), None);
    }
}
