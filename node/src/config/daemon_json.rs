//! Docker's `daemon.json`, edited without touching what does not change: order, indentation
//! and line breaks stay.

use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use jsonc_parser::json;

use crate::config::facts::{RUNTIME, RUNTIME_TYPE};
use crate::error::NodeError;

const RUNTIMES: &str = "runtimes";
const FEATURES: &str = "features";

/// Keeps images in containerd, whose image store knows the platform `wasi/wasm`.
pub const SNAPSHOTTER: &str = "containerd-snapshotter";

/// The strict grammar of JSON, which is Docker's.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// What to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The short name `ssr`.
    pub runtime: bool,
    /// [`SNAPSHOTTER`].
    pub snapshotter: bool,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DaemonFacts {
    /// The entry `ssr` of the runtimes, as JSON.
    pub runtime: Option<serde_json::Value>,
    /// [`SNAPSHOTTER`].
    pub snapshotter: Option<bool>,
    /// Whether containers go on while Docker restarts.
    pub live_restore: bool,
    /// `userns-remap`, with which [`SNAPSHOTTER`] has no effect.
    pub userns_remap: Option<String>,
    /// `storage-driver`.
    pub storage_driver: Option<String>,
}

/// Reads the file. `path` is for errors.
pub fn facts(path: &Path, text: &str) -> Result<DaemonFacts, NodeError> {
    if text.trim().is_empty() {
        return Ok(DaemonFacts::default());
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| NodeError::Syntax {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        reason: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    let wrong = |key: &str| NodeError::Syntax {
        path: path.to_owned(),
        line: 1,
        column: 1,
        reason: format!("{key} is not an object"),
    };
    let object = value.as_object().ok_or_else(|| wrong("the content"))?;
    for key in [RUNTIMES, FEATURES] {
        if object.get(key).is_some_and(|value| !value.is_object()) {
            return Err(wrong(&format!("'{key}'")));
        }
    }
    let text = |key: &str| object.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(DaemonFacts {
        runtime: object.get(RUNTIMES).and_then(|runtimes| runtimes.get(RUNTIME)).cloned(),
        snapshotter: object.get(FEATURES).and_then(|features| features.get(SNAPSHOTTER)?.as_bool()),
        live_restore: object.get("live-restore").and_then(serde_json::Value::as_bool).unwrap_or(false),
        userns_remap: text("userns-remap"),
        storage_driver: text("storage-driver"),
    })
}

/// Adds what is wanted to the file, or makes one.
pub fn add(path: &Path, text: Option<&str>, wanted: Wanted) -> Result<String, NodeError> {
    if wanted == Wanted::default() {
        return Ok(text.unwrap_or_default().to_owned());
    }
    let blank = text.is_none_or(|text| text.trim().is_empty());
    let text = text.filter(|_| !blank).unwrap_or("{\n}\n");
    facts(path, text)?;
    edit(path, text, |object| {
        if wanted.snapshotter {
            set(&object.object_value_or_set(FEATURES), SNAPSHOTTER, json!(true));
        }
        if wanted.runtime {
            let entry = json!({ "runtimeType": RUNTIME_TYPE });
            set(&object.object_value_or_set(RUNTIMES), RUNTIME, entry);
        }
    })
}

/// Takes out of `text` what [`add`] has put in. `before` is the file as it was then.
pub fn take_out(path: &Path, text: &str, before: Option<&str>) -> Result<String, NodeError> {
    let was = facts(path, before.unwrap_or_default())?;
    let is = facts(path, text)?;
    let had = |key: &str| before.is_some_and(|before| before.contains(&format!("\"{key}\"")));
    let ours = serde_json::json!({ "runtimeType": RUNTIME_TYPE });
    if text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    edit(path, text, |object| {
        if was.runtime.is_none() && is.runtime == Some(ours) {
            remove(object, RUNTIMES, RUNTIME, had(RUNTIMES));
        }
        if is.snapshotter == Some(true) {
            match was.snapshotter {
                None => remove(object, FEATURES, SNAPSHOTTER, had(FEATURES)),
                Some(was) => set(&object.object_value_or_set(FEATURES), SNAPSHOTTER, json!(was)),
            }
        }
    })
}

fn edit(path: &Path, text: &str, change: impl FnOnce(&CstObject)) -> Result<String, NodeError> {
    let root = CstRootNode::parse(text, &STRICT).map_err(|error| NodeError::Syntax {
        path: path.to_owned(),
        line: error.line_display(),
        column: error.column_display(),
        reason: error.kind().to_string(),
    })?;
    change(&root.object_value_or_set());
    Ok(root.to_string())
}

fn set(object: &CstObject, key: &str, value: CstInputValue) {
    match object.get(key) {
        Some(property) => property.set_value(value),
        None => {
            object.append(key, value);
        }
    }
}

/// Removes `key` of the object `of`, and that object if it is empty then and was not there.
fn remove(object: &CstObject, of: &str, key: &str, keep: bool) {
    let Some(inner) = object.object_value(of) else { return };
    if let Some(property) = inner.get(key) {
        property.remove();
    }
    if !keep
        && inner.properties().is_empty()
        && let Some(property) = object.get(of)
    {
        property.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Wanted = Wanted { runtime: true, snapshotter: true };

    fn path() -> &'static Path {
        Path::new("daemon.json")
    }

    #[test]
    fn a_new_file_is_what_a_person_would_write() {
        let made = add(path(), None, BOTH).unwrap();
        let expected = r#"{
  "features": {
    "containerd-snapshotter": true
  },
  "runtimes": {
    "ssr": {
      "runtimeType": "io.containerd.ssr.v1"
    }
  }
}
"#;
        assert_eq!(made, expected);
        assert_eq!(add(path(), Some(" \n"), BOTH).unwrap(), expected);
    }

    #[test]
    fn order_indentation_and_line_breaks_stay() {
        let tabs = "{\n\t\"log-driver\": \"local\",\n\t\"dns\": [\"1.1.1.1\"]\n}";
        let made = add(path(), Some(tabs), BOTH).unwrap();
        assert!(
            made.starts_with(
                "{\n\t\"log-driver\": \"local\",\n\t\"dns\": [\"1.1.1.1\"],\n\t\"features\": {\n\t\t"
            ),
            "{made}"
        );
        assert!(made.ends_with("}\n}"), "{made}");
        let windows = "{\r\n    \"debug\": true\r\n}\r\n";
        let made = add(path(), Some(windows), BOTH).unwrap();
        assert!(made.replace("\r\n", "").find('\n').is_none(), "{made:?}");
        let nested = "{ \"runtimes\": { \"x\": { \"path\": \"/x\" } }, \"z\": 1 }";
        let made = add(path(), Some(nested), BOTH).unwrap();
        let value: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(value["runtimes"]["x"]["path"], "/x");
        assert_eq!(value["runtimes"]["ssr"]["runtimeType"], RUNTIME_TYPE);
        assert_eq!(value["features"][SNAPSHOTTER], true);
    }

    #[test]
    fn only_ours_is_taken_out_of_a_file_that_was_changed_since() {
        for before in [
            "{\n  \"debug\": true,\n  \"features\": {\n    \"buildkit\": true,\n    \"containerd-snapshotter\": false\n  }\n}\n",
            "{\n  \"runtimes\": {\n    \"x\": { \"path\": \"/x\" }\n  },\n  \"debug\": true\n}\n",
            "{\n  \"runtimes\": {},\n  \"debug\": true\n}\n",
            "{\n  \"debug\": true\n}\n",
        ] {
            let after = add(path(), Some(before), BOTH).unwrap();
            let changed = after.replace("\"debug\": true", "\"debug\": false");
            let expected: serde_json::Value =
                serde_json::from_str(&before.replace("\"debug\": true", "\"debug\": false")).unwrap();
            let rest = take_out(path(), &changed, Some(before)).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&rest).unwrap(), expected, "{rest}");
        }
    }

    #[test]
    fn invalid_json_has_its_place() {
        for (text, says) in [
            ("{\n  \"a\": 1,\n}", "line 3, column 1"),
            ("{ // mine\n}", "line 1, column 3"),
            ("[]", "the content is not an object"),
            ("{\"runtimes\": []}", "'runtimes' is not an object"),
        ] {
            let error = add(path(), Some(text), BOTH).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
