//! Commands that must succeed.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Runs a command to its end and returns its standard output. An exit code other
/// than 0 is an error that carries its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
