//! What a container's arguments ask to run: decided by what the file is, never by its
//! name.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ssr_wasi::served::wagi::is_route_table;
use ssr_wasm::text;

/// What engines put before a command that is written as a string.
const SHELLS: [&str; 4] = ["sh", "bash", "ash", "dash"];

/// PATH if the image sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where an entrypoint is looked up. Relative paths begin at the container's working
/// directory.
pub trait Files {
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// For reading. Called for regular files only.
    fn open(&self, path: &Path) -> io::Result<File>;
}

/// The files that this process sees.
pub struct OwnFiles;

impl Files for OwnFiles {
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        path.metadata()
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        // It may be another file by now, and to open a FIFO could take for ever.
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
    }
}

/// What to execute.
#[derive(Debug, PartialEq, Eq)]
pub enum Entrypoint {
    /// A WebAssembly module: this binary runs or serves it, with these arguments. Behind the
    /// module's path a function may be named: `/app.wasm#function`.
    Module(Vec<String>),
    /// A command of this binary itself: `ssr health`.
    BuiltIn(Vec<String>),
    /// A Linux program.
    Program(PathBuf),
}

/// Why there is nothing to execute: names the file and says what to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// There is no such file.
    Missing(String),
    /// The file cannot be executed, or there is no entrypoint.
    Other(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(reason) | Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl Entrypoint {
    /// Looks at the file that `args` name. `path` is the container's PATH.
    pub fn find(args: &[String], path: Option<&str>, files: &impl Files) -> Result<Self, Unusable> {
        let Some(command) = args.first().filter(|command| !command.is_empty()) else {
            return Err(Unusable::Other("the image has no entrypoint, and no command was given".to_owned()));
        };
        let path = path.unwrap_or(DEFAULT_PATH);
        if let Some(found) = look_up(command, path, files) {
            return Self::of_file(found, None, args, files);
        }
        if let Some(built_in) = built_in(args) {
            return Ok(Self::BuiltIn(built_in));
        }
        if let Some((file, function)) = command.rsplit_once('#')
            && let Some(found) = look_up(file, path, files)
        {
            return Self::of_file(found, Some(function), args, files);
        }
        Err(not_found(command, args))
    }

    fn of_file(
        file: PathBuf,
        function: Option<&str>,
        args: &[String],
        files: &impl Files,
    ) -> Result<Self, Unusable> {
        let name = file.display();
        let head =
            head(&file, files).map_err(|error| Unusable::Other(format!("cannot read '{name}': {error}")))?;
        match head.as_slice() {
            head if is_module(head) => {
                let mut module = file.to_string_lossy().into_owned();
                if let Some(function) = function {
                    module = format!("{module}#{function}");
                }
                Ok(Self::Module([&[module], &args[1..]].concat()))
            }
            _ if function.is_some() => Err(Unusable::Other(format!(
                "'{name}' is no WebAssembly module, whose function could be called: correct the entrypoint or the command"
            ))),
            [0x7f, b'E', b'L', b'F', ..] | [b'#', b'!', ..] => match executable(&file, files) {
                true => Ok(Self::Program(file)),
                false => Err(Unusable::Other(format!(
                    "'{name}': permission denied: the file lacks the execute permission"
                ))),
            },
            _ => Err(Unusable::Other(format!(
                "'{name}' is neither a WebAssembly module (binary, or text that begins with '(module') nor a Linux \
                 program (ELF or #!)"
            ))),
        }
    }
}

/// Docker exits with 127 when it finds these phrases in the error.
fn not_found(command: &str, args: &[String]) -> Unusable {
    let name = Path::new(command).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let [_, option, line, ..] = args
        && SHELLS.contains(&name)
        && option == "-c"
    {
        return Unusable::Missing(format!(
            "'{command}': no such file or directory in the image, which has no shell to run '{line}': write the \
             entrypoint or command as a list (ENTRYPOINT [\"/ssr.wasm\"]), and a health check as [\"ssr\", \"health\"]"
        ));
    }
    let what = match command.contains('/') {
        true => "no such file or directory in the image",
        false => "executable file not found in $PATH",
    };
    Unusable::Missing(format!("'{command}': {what}: correct the entrypoint or the command"))
}

/// `ssr health`, also in the form that Docker makes of a HEALTHCHECK that is a string.
fn built_in(args: &[String]) -> Option<Vec<String>> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["ssr", rest @ ..] => Some(rest.iter().map(|&arg| arg.to_owned()).collect()),
        ["/bin/sh" | "sh", "-c", line] => {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let words = words.strip_suffix(&["||", "exit", "1"]).unwrap_or(&words);
            match words {
                ["ssr", "health", rest @ ..] if rest.iter().all(|word| plain(word)) => {
                    Some(words[1..].iter().map(|&word| word.to_owned()).collect())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a shell would take the word literally.
fn plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.,:=@%+".contains(&byte))
}

/// The file that a command names: a path, or a name in a directory of PATH. A module is
/// also found in the working directory.
fn look_up(command: &str, path: &str, files: &impl Files) -> Option<PathBuf> {
    let is_file = |file: &Path| files.metadata(file).is_ok_and(|metadata| metadata.is_file());
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(|file| is_file(file));
    }
    let in_path = path.split(':').filter(|directory| !directory.is_empty());
    let mut candidates = in_path.map(|directory| Path::new(directory).join(command));
    candidates.find(|file| is_file(file) && executable(file, files)).or_else(|| {
        let module = Path::new("./").join(command);
        (is_file(&module) && head(&module, files).is_ok_and(|head| is_module(&head))).then_some(module)
    })
}

fn executable(file: &Path, files: &impl Files) -> bool {
    files.metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

/// Whether a file that begins so is a module, in either format, or names the modules that answer
/// requests.
fn is_module(head: &[u8]) -> bool {
    head.starts_with(b"\0asm") || text::is_text(head) || is_route_table(head)
}

/// The first bytes of the file, which tell what it is.
fn head(file: &Path, files: &impl Files) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(text::HEAD);
    files.open(file)?.take(text::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    fn words(args: &[&str]) -> Vec<String> {
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    /// The entrypoint for a file with these contents and this mode.
    fn find(bytes: &[u8], mode: u32) -> Result<Entrypoint, Unusable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), bytes).unwrap();
        set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let name = file.path().to_str().unwrap();
        Entrypoint::find(&words(&[name, "/dist"]), None, &OwnFiles)
    }

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        assert!(
            matches!(find(b"\0asm\x01\0\0\0", 0o644), Ok(Entrypoint::Module(args)) if args[1] == "/dist")
        );
        assert!(matches!(find(b";; hello\n(module)", 0o644), Ok(Entrypoint::Module(_))));
        assert!(matches!(find(b"# routes\n[[module]]\n", 0o644), Ok(Entrypoint::Module(_))));
        assert!(matches!(find(b"\x7fELF", 0o755), Ok(Entrypoint::Program(_))));
        assert!(matches!(find(b"#!/bin/sh\n", 0o755), Ok(Entrypoint::Program(_))));
    }

    #[test]
    fn files_that_cannot_run_are_named() {
        assert!(find(b"#!/bin/sh\n", 0o644).unwrap_err().to_string().contains("execute permission"));
        assert!(find(b"<html>", 0o755).unwrap_err().to_string().contains("neither"));
        assert!(find(b"", 0o755).unwrap_err().to_string().contains("neither"));
        let missing = Entrypoint::find(&words(&["/no/such.wasm"]), None, &OwnFiles).unwrap_err();
        assert!(missing.to_string().contains("'/no/such.wasm'"));
        assert!(Entrypoint::find(&[], None, &OwnFiles).is_err());
        assert!(Entrypoint::find(&words(&[""]), None, &OwnFiles).is_err());
    }

    #[test]
    fn a_function_of_a_module_is_named_behind_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let module = directory.path().join("lib.wasm");
        write(&module, b"\0asm\x01\0\0\0").unwrap();
        write(directory.path().join("program"), b"\x7fELF").unwrap();
        let find = |name: &str| {
            let command = directory.path().join(name).to_str().unwrap().to_owned();
            Entrypoint::find(&[command, "a".to_owned()], None, &OwnFiles)
        };
        let named = format!("{}#main", module.display());
        assert_eq!(find("lib.wasm#main"), Ok(Entrypoint::Module(vec![named, "a".to_owned()])));
        assert!(find("program#main").unwrap_err().to_string().contains("no WebAssembly module"));
        assert!(find("none#main").is_err());
        // A file of just that name is what is meant.
        write(directory.path().join("lib.wasm#x"), b"\0asm\x01\0\0\0").unwrap();
        let exact = format!("{}/lib.wasm#x", directory.path().display());
        assert_eq!(find("lib.wasm#x"), Ok(Entrypoint::Module(vec![exact, "a".to_owned()])));
    }

    #[test]
    fn a_command_for_a_shell_is_to_be_written_as_a_list() {
        for shell in ["/bin/sh", "sh", "/usr/bin/bash"] {
            let args = words(&[shell, "-c", "curl -f http://localhost:8080/ || exit 1"]);
            let error = Entrypoint::find(&args, Some("/nowhere"), &NoFiles).unwrap_err();
            assert!(matches!(error, Unusable::Missing(_)));
            let error = error.to_string();
            for part in [shell, "curl -f", "as a list", "\"ssr\", \"health\"", "no such file or directory"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    /// An image without files.
    struct NoFiles;

    impl Files for NoFiles {
        fn metadata(&self, _: &Path) -> io::Result<Metadata> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn open(&self, _: &Path) -> io::Result<File> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn a_name_is_looked_up_in_path() {
        assert_eq!(
            Entrypoint::find(&words(&["sh"]), Some("/nowhere::/bin"), &OwnFiles),
            Ok(Entrypoint::Program("/bin/sh".into()))
        );
        assert!(Entrypoint::find(&words(&["sh"]), Some("/nowhere"), &OwnFiles).is_err());
    }

    #[test]
    fn health_needs_no_file_in_any_form_that_engines_pass() {
        let health = Some(words(&["health"]));
        assert_eq!(built_in(&words(&["ssr", "health"])), health);
        assert_eq!(built_in(&words(&["/bin/sh", "-c", "ssr health"])), health);
        assert_eq!(built_in(&words(&["/bin/sh", "-c", " ssr health || exit 1"])), health);
        assert_eq!(built_in(&words(&["sh", "-c", "ssr health /about"])), Some(words(&["health", "/about"])));
        assert_eq!(built_in(&words(&["/bin/sh", "-c", "ssr health; true"])), None);
        assert_eq!(built_in(&words(&["/bin/sh", "-c", "curl localhost"])), None);
    }
}
