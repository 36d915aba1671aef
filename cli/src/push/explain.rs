//! What a registry's refusal means, and what to do.

use std::error::Error;
use std::io;

use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::credentials::Credentials;
use crate::cache::list::plain;

/// Where an image was sent to.
pub struct Destination<'a> {
    pub name: &'a Reference,
    pub credentials: &'a Credentials,
    pub plain_http: bool,
}

/// The error in words for a person.
pub fn explain(error: &OciDistributionError, to: &Destination<'_>) -> String {
    let (registry, repository) = (to.name.registry(), to.name.repository());
    let said = said(error);
    match status(error) {
        Some(status @ (401 | 403)) => refused(status, &said, to),
        Some(404) => format!(
            "{registry} has no repository '{repository}', and does not make one by itself{said}: create it there, or \
             correct the name"
        ),
        Some(400) if to.plain_http => {
            format!("{registry} refused the request{said}; if it speaks HTTPS, leave --plain-http out")
        }
        Some(413) => format!(
            "{registry} takes no blob of this size{said}: raise the limit of the registry or its proxy"
        ),
        Some(429) => format!("{registry} has had too many requests{said}: try again later"),
        Some(status) => format!("{registry} answered {status}{said}"),
        None => unreachable(error, to),
    }
}

fn refused(status: u16, said: &str, to: &Destination<'_>) -> String {
    let (registry, repository) = (to.name.registry(), to.name.repository());
    match to.credentials {
        Credentials::Known { user, file, .. } => format!(
            "{registry} does not let '{}' push to '{repository}' ({status}{said}), as whom '{}' says to log in: log in again \
             with `docker login {registry}`, or have that user given the right to push",
            plain(user),
            file.display()
        ),
        Credentials::Unknown(files) => {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            format!(
                "{registry} does not let just anyone push to '{repository}' ({status}{said}), and there are no credentials for \
                 it (looked for in {}): log in with `docker login {registry}` or `podman login {registry}`",
                files.join(", ")
            )
        }
    }
}

/// Why there was no answer.
fn unreachable(error: &OciDistributionError, to: &Destination<'_>) -> String {
    let registry = to.name.registry();
    let reason = reason(error);
    match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) => format!(
            "{registry} does not speak HTTPS ({reason}): if it is meant to speak plain HTTP, and you trust the network on the \
             way to it, add --plain-http"
        ),
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the certificate of {registry} is not trusted ({reason}): if an authority of your own has issued it, name that \
             authority's certificate in SSL_CERT_FILE"
        ),
        Some(_) => format!("no secure connection to {registry}: {reason}"),
        None => match error {
            OciDistributionError::RequestError(_) => format!("cannot reach {registry}: {reason}"),
            _ => format!("{registry} does not answer as registries do: {reason}"),
        },
    }
}

/// The answer's status code, if there was an answer.
fn status(error: &OciDistributionError) -> Option<u16> {
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            Some(401)
        }
        OciDistributionError::ServerError { code, .. } => Some(*code),
        OciDistributionError::RequestError(error) => error.status().map(|status| status.as_u16()),
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().find_map(|error| match error.code {
                OciErrorCode::Unauthorized => Some(401),
                OciErrorCode::Denied => Some(403),
                OciErrorCode::NameUnknown => Some(404),
                OciErrorCode::Toomanyrequests => Some(429),
                _ => None,
            })
        }
        _ => None,
    }
}

/// The registry's own words, behind a colon and in one line.
fn said(error: &OciDistributionError) -> String {
    let text = match error {
        OciDistributionError::ServerError { message, .. }
        | OciDistributionError::AuthenticationFailure(message) => message.as_str(),
        _ => return String::new(),
    };
    let document = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let words =
        document["errors"].as_array().into_iter().flatten().filter_map(|error| error["message"].as_str());
    let words = words.collect::<Vec<_>>().join(", ");
    let words = if words.is_empty() { text.trim() } else { &words };
    if words.is_empty() { String::new() } else { format!(": {}", plain(words)) }
}

/// All causes, without repetition: the last ones say most.
fn reason(error: &OciDistributionError) -> String {
    let mut reasons = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if reasons.last().is_none_or(|last| !last.contains(&text)) {
            reasons.push(text);
        }
        next = cause.source();
    }
    // What the client was about to do is said already.
    let from = reasons.len().saturating_sub(2).max(usize::from(reasons.len() > 1));
    reasons[from..].join(": ")
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // What an I/O error wraps is not its source.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source()).and_then(tls_error)
}
