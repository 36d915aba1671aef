//! Restarting what has to read its configuration again.

use std::process::{Command, Stdio};

use crate::engine::Engine;
use crate::error::NodeError;

/// What was done, in a sentence.
pub fn restart(engine: Engine) -> Result<String, NodeError> {
    let Some(service) = engine.services().iter().find(|service| is_active(service)) else {
        return Ok(format!("{} does not run: it reads its configuration when it starts", engine.name()));
    };
    run(engine, &["systemctl", "restart", service])?;
    Ok(format!("restarted {service}{}", effect(engine)))
}

/// What a person types to restart an engine.
pub fn command(engine: Engine) -> String {
    let service =
        engine.services().iter().find(|service| is_active(service)).unwrap_or(&engine.services()[0]);
    format!("systemctl restart {service}")
}

/// What becomes of the containers.
pub fn effect(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => {
            ": its containers stop, unless live-restore is set, and start again by their restart policy"
        }
        Engine::Containerd | Engine::K3s | Engine::Rke2 | Engine::Microk8s => ": running containers go on",
    }
}

fn is_active(service: &str) -> bool {
    let mut command = Command::new("systemctl");
    command
        .args(["is-active", "--quiet", service])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(engine: Engine, words: &[&str]) -> Result<(), NodeError> {
    let failed =
        |reason: String| NodeError::Restart { command: words.join(" "), reason, engine: engine.name() };
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
