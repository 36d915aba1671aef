//! The credentials that `docker login` and `podman login` keep.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

/// What Docker calls its own registry there.
const DOCKER_HUB: [&str; 2] = ["https://index.docker.io/v1/", "index.docker.io"];

/// Credentials for a registry.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password, and the file that names them.
    Known { user: String, password: String, file: PathBuf },
    /// There are none in these files.
    Unknown(Vec<PathBuf>),
}

impl Credentials {
    /// Those for the registry of an image. The first file that has some counts.
    pub fn find(image: &Reference) -> Result<Self> {
        let files = files(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
        for file in &files {
            if let Some((user, password)) = in_file(file, image)? {
                return Ok(Self::Known { user, password, file: file.clone() });
            }
        }
        Ok(Self::Unknown(files))
    }

    /// For the client.
    pub fn auth(&self) -> RegistryAuth {
        match self {
            Self::Known { user, password, .. } => RegistryAuth::Basic(user.clone(), password.clone()),
            Self::Unknown(_) => RegistryAuth::Anonymous,
        }
    }
}

/// The files, the most particular first: podman's variable, then Docker's directory, and
/// podman's own files.
fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME");
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
    let configuration = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let podman = [variable("XDG_RUNTIME_DIR"), configuration].into_iter().flatten();
    let mut files: Vec<_> = variable("REGISTRY_AUTH_FILE").into_iter().collect();
    files.extend(docker.map(|directory| directory.join("config.json")));
    files.extend(podman.map(|directory| directory.join("containers/auth.json")));
    files
}

/// A name and password from one file, which need not exist.
fn in_file(file: &Path, image: &Reference) -> Result<Option<(String, String)>> {
    let shown = file.display();
    let text = match fs::read(file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        read => read.with_context(|| format!("cannot read the credentials in '{shown}'"))?,
    };
    let config: Value =
        serde_json::from_slice(&text).with_context(|| format!("the credentials in '{shown}'"))?;
    for server in servers(&config, image) {
        let found = match get_credential_from_reader(&*text, &server) {
            Ok(found) => found,
            Err(CredentialRetrievalError::NoCredentialConfigured) => continue,
            // The word of Docker's helpers for that.
            Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => {
                continue;
            }
            Err(CredentialRetrievalError::HelperCommunicationError) => bail!(
                "cannot run the credential helper docker-credential-{}, which '{shown}' names for {server}: install it, or \
                 remove the entry and log in again",
                helper(&config, &server)
            ),
            Err(error) => {
                bail!("the credentials for {server} in '{shown}': {}", error.to_string().trim_end())
            }
        };
        match found {
            DockerCredential::UsernamePassword(user, password) => return Ok(Some((user, password))),
            DockerCredential::IdentityToken(_) => bail!(
                "'{shown}' has an identity token for {server}, which this program cannot exchange: log in with a user's name \
                 and an access token as the password"
            ),
        }
    }
    Ok(None)
}

/// The entries that may be for an image, the most particular first: podman knows some for
/// a part of a registry.
fn servers(config: &Value, image: &Reference) -> Vec<String> {
    let mut servers = Vec::new();
    let mut path = format!("{}/{}", image.registry(), image.repository());
    while path.contains('/') {
        if config["auths"].get(&path).is_some() {
            servers.push(path.clone());
        }
        path.truncate(path.rfind('/').unwrap_or_default());
    }
    match path.as_str() {
        "docker.io" => servers.extend(DOCKER_HUB.map(str::to_owned)),
        _ => servers.push(path),
    }
    servers
}

fn helper<'a>(config: &'a Value, server: &str) -> &'a str {
    let own = config["credHelpers"][server].as_str();
    own.or_else(|| config["credsStore"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(config: &str, image: &str) -> Result<Option<(String, String)>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), config).unwrap();
        in_file(file.path(), &image.parse().unwrap())
    }

    #[test]
    fn entries_are_found_by_registry_and_podmans_by_repository_too() {
        // user:secret, other:word
        let config = r#"{ "auths": {
            "pi.local:5000": { "auth": "dXNlcjpzZWNyZXQ=" },
            "pi.local:5000/team": { "auth": "b3RoZXI6d29yZA==" },
            "https://index.docker.io/v1/": { "auth": "dXNlcjpzZWNyZXQ=" },
            "ghcr.io": {} } }"#;
        let user = || Some(("user".to_owned(), "secret".to_owned()));
        for (image, expected) in [
            ("pi.local:5000/site", user()),
            ("pi.local:5000/a/b:1", user()),
            ("pi.local:5000/team/site", Some(("other".to_owned(), "word".to_owned()))),
            ("pi.local/site", None),
            ("ghcr.io/me/site", None),
            ("site", user()),
            ("me/site:1", user()),
        ] {
            assert_eq!(find(config, image).unwrap(), expected, "{image}");
        }
        let of_podman = r#"{ "auths": { "docker.io": { "auth": "dXNlcjpzZWNyZXQ=" } } }"#;
        assert_eq!(find(of_podman, "me/site").unwrap(), user());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let said = |config: &str| format!("{:#}", find(config, "pi.local/site").unwrap_err());
        assert!(said("no json").contains("the credentials in '"));
        let token = r#"{ "auths": { "pi.local": { "identitytoken": "x" } } }"#;
        assert!(said(token).contains("identity token for pi.local"));
        let helper = r#"{ "credsStore": "of-nobody" }"#;
        assert!(said(helper).contains("docker-credential-of-nobody"), "{}", said(helper));
        let broken = r#"{ "auths": { "pi.local": { "auth": "%%%" } } }"#;
        assert!(said(broken).contains("the credentials for pi.local in '"));
    }

    #[test]
    fn files_are_looked_for_where_docker_and_podman_put_them() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> =
                set.iter().map(|(name, path)| ((*name).to_owned(), path.into())).collect();
            let files =
                files(|name| set.iter().find(|(other, _)| other == name).map(|(_, path)| path.clone()));
            files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(with(&[("HOME", "/h")]), ["/h/.docker/config.json", "/h/.config/containers/auth.json"]);
        assert_eq!(
            with(&[
                ("HOME", "/h"),
                ("DOCKER_CONFIG", "/d"),
                ("REGISTRY_AUTH_FILE", "/r"),
                ("XDG_RUNTIME_DIR", "/x")
            ]),
            ["/r", "/d/config.json", "/x/containers/auth.json", "/h/.config/containers/auth.json"]
        );
        assert!(with(&[]).is_empty());
    }
}
