//! libcontainer's errors, as people should read them.

use anyhow::anyhow;

use super::executor::OWN_ERROR;
use super::trace;

/// libcontainer's error with all its causes: the outermost message says little. If one of
/// our own, from the container's process, is among them, only that.
pub fn error_chain(error: libcontainer::error::LibcontainerError) -> anyhow::Error {
    let mut text = error.to_string();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        let next = source.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = source;
    }
    match text.rsplit_once(OWN_ERROR) {
        Some((_, ours)) => anyhow!("{ours}"),
        None => match trace::first_error() {
            Some(cause) if !text.contains(&cause) => anyhow!("{text}: {cause}"),
            _ => anyhow!(text),
        },
    }
}
