//! What containerd's configuration really says, imports and defaults included.

use std::process::{Command, Stdio};

use crate::engine::Engine;
use crate::files::root::Root;

/// The output of `containerd config dump`. The error says why there is none.
pub fn read(root: &Root, engine: Engine) -> Result<String, String> {
    if !root.is_machine() {
        return Err("not asked below another root".to_owned());
    }
    let program = engine.containerd(root).ok_or("containerd was not found")?;
    let output = Command::new(root.at(&program))
        .args(["--config", engine.containerd_config(), "config", "dump"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot execute '{}': {error}", program.display()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().last().unwrap_or("it failed without a word").to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
