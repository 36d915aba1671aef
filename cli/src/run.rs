//! `ssr run`: a module that runs once, without a container engine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use ssr_server::settings::{Settings, TABLE};
use ssr_server::{Command, run_command, split_function};
use ssr_wasi::Directory;

use crate::user_code;

/// Arguments of `ssr run`.
#[derive(Args)]
pub struct RunArgs {
    /// A WASI command: a module, a component or WebAssembly text. To call a function of a
    /// library, write it behind the file: lib.wasm#function
    #[arg(value_name = "FILE.wasm")]
    module: String,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    /// A directory that the program may use, and where it sees it (the same place, if none is
    /// said); with :ro it can only be read
    #[arg(long = "volume", short = 'v', value_name = "DIR[:PATH[:ro]]")]
    volumes: Vec<String>,
    /// A variable of the program's environment; without a value, with the one it has here
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Where the program starts
    #[arg(long, short, value_name = "PATH")]
    workdir: Option<String>,
    /// Whom the program may talk to: none, all, listen, or hosts such as api.example.com:443
    #[arg(long, value_name = "HOSTS")]
    network: Option<String>,
    /// Most memory of the program, such as 64MiB
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
}

/// Runs it; the exit code is the program's.
pub fn run(args: RunArgs) -> Result<ExitCode> {
    let env: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let mut settings = Settings::for_command(&env)?;
    for (flag, value) in [("network", &args.network), ("memory-limit", &args.memory_limit)] {
        if let (Some(setting), Some(value)) = (TABLE.iter().find(|setting| setting.flag == flag), value) {
            settings.set(setting, &format!("--{flag}"), value)?;
        }
    }
    let command = Command {
        name: split_function(&args.module).0.to_owned(),
        module: args.module,
        code: user_code::source(),
        args: args.args,
        env: args.env.iter().filter_map(|variable| environment(variable)).collect(),
        working_directory: args.workdir,
        directories: args.volumes.iter().map(|volume| directory(volume)).collect::<Result<_>>()?,
    };
    Ok(ExitCode::from(run_command(command, &settings)))
}

/// A variable as `docker run -e` takes it; `None` if it has no value here.
fn environment(variable: &str) -> Option<(String, String)> {
    match variable.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(variable).ok().map(|value| (variable.to_owned(), value)),
    }
}

/// A directory as `docker run -v` takes it.
fn directory(volume: &str) -> Result<Directory> {
    let parts: Vec<&str> = volume.split(':').collect();
    let (host, guest, options) = match parts[..] {
        [host] => (host, host, "rw"),
        [host, guest] => (host, guest, "rw"),
        [host, guest, options] => (host, guest, options),
        _ => bail!("--volume '{volume}': expected DIR, DIR:PATH or DIR:PATH:ro"),
    };
    let read_only = match options {
        "ro" => true,
        "rw" => false,
        other => bail!("--volume '{volume}': '{other}' is neither ro nor rw"),
    };
    let host = PathBuf::from(host);
    let metadata = host.metadata().with_context(|| format!("--volume '{volume}'"))?;
    if !metadata.is_dir() {
        bail!("--volume '{volume}': '{}' is no directory", host.display());
    }
    Ok(Directory { host, guest: guest.to_owned(), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_written_as_docker_has_them() {
        let own = env!("CARGO_MANIFEST_DIR");
        let read = directory(&format!("{own}:/data:ro")).unwrap();
        assert_eq!((read.guest.as_str(), read.read_only), ("/data", true));
        let same = directory(own).unwrap();
        assert_eq!((same.guest.as_str(), same.read_only), (own, false));
        for wrong in [
            format!("{own}:/a:rx"),
            "/no/such:/a".to_owned(),
            format!("{own}/Cargo.toml:/a"),
            "a:b:c:d".to_owned(),
        ] {
            let error = directory(&wrong).unwrap_err().to_string();
            assert!(error.contains(&wrong), "{error}");
        }
    }
}
