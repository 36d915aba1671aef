//! A process's standard input, output and error. containerd names FIFOs, files, or a
//! program that takes the output.
//!
//! The container's process has the FIFOs themselves, so nothing is copied and no output
//! passes through the shim. The shim only holds their other ends open: clients detach and
//! containerd restarts, and the process would otherwise see a closed pipe or end of input.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::helper::command::StdioFiles;
use crate::reaper::Reaper;

/// How long a logging program may take to get ready.
const LOGGER_TIMEOUT: Duration = Duration::from_secs(10);

/// What containerd asks for: URIs or plain paths, empty for none.
#[derive(Debug, Clone, Default)]
pub struct StdioUris {
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub terminal: bool,
    /// The user and group that FIFOs of outputs should belong to, if not root: a process
    /// may open its own output again (`/dev/stdout`).
    pub owner: (u32, u32),
}

/// What the shim keeps open for a process.
#[derive(Default)]
pub struct OpenStdio {
    /// The write end of the input, until containerd closes it.
    input: Option<File>,
    /// The read ends of the outputs.
    outputs: Vec<File>,
}

/// Paths that the helper can open without blocking, and what must stay open until it has.
pub struct PreparedStdio {
    pub files: StdioFiles,
    open: OpenStdio,
    stdin: Option<PathBuf>,
}

impl StdioUris {
    /// Makes FIFOs openable without waiting for their other ends. `id` and `namespace` are
    /// the container's, for a logging program.
    pub async fn prepare(&self, id: &str, namespace: &str, reaper: &Reaper) -> Result<PreparedStdio> {
        let mut open = OpenStdio::default();
        let stdin = path_of_uri(&self.stdin)?;
        if let Some(path) = &stdin {
            // For reading as well: a FIFO without a reader cannot be opened for writing only.
            // `open` replaces it when the process has it.
            open.input = Some(open_nonblocking(path, OpenOptions::new().read(true).write(true))?);
        }
        let (stdout, stderr) = match self.stdout.strip_prefix("binary://") {
            Some(program) => {
                let (stdout, stderr) = start_logger(program, id, namespace, reaper).await?;
                let files = [proc_path(&stdout), proc_path(&stderr)];
                open.outputs.extend([stdout, stderr]);
                let [stdout, stderr] = files;
                (Some(stdout), Some(stderr))
            }
            None => (path_of_uri(&self.stdout)?, path_of_uri(&self.stderr)?),
        };
        for path in stdout.iter().chain(&stderr) {
            if is_fifo(path) && !path.starts_with("/proc") {
                open.outputs.push(open_nonblocking(path, OpenOptions::new().read(true))?);
                if self.owner != (0, 0) {
                    let (user, group) = self.owner;
                    std::os::unix::fs::chown(path, Some(user), Some(group)).with_context(|| {
                        format!("cannot give '{}' to user {user} and group {group}", path.display())
                    })?;
                }
            }
        }
        let files = StdioFiles { stdin: stdin.clone(), stdout, stderr };
        Ok(PreparedStdio { files, open, stdin })
    }
}

impl PreparedStdio {
    /// Call it when the process has opened its files.
    pub fn open(mut self) -> Result<OpenStdio> {
        if let Some(path) = &self.stdin {
            // The process reads it now. A read end of ours would block writers for ever after
            // the process has ended.
            self.open.input = match is_fifo(path) {
                true => Some(open_nonblocking(path, OpenOptions::new().write(true))?),
                false => None,
            };
        }
        Ok(self.open)
    }
}

impl OpenStdio {
    /// Closes our end of the input: the process sees its end when containerd's writer closes
    /// it, too.
    pub fn close_input(&mut self) {
        self.input = None;
    }
}

/// The path in a URI, if any.
fn path_of_uri(uri: &str) -> Result<Option<PathBuf>> {
    let path = match uri.split_once("://") {
        None => uri,
        Some(("fifo", path)) => path,
        Some(("file", path)) => {
            let path = Path::new(path.split('?').next().unwrap_or(path));
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create '{}' for the log", directory.display()))?;
            }
            return Ok(Some(path.to_owned()));
        }
        Some((scheme, _)) => {
            bail!("cannot write output to '{uri}': the scheme '{scheme}' is not fifo, file or binary")
        }
    };
    Ok(if path.is_empty() { None } else { Some(path.into()) })
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn open_nonblocking(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK).open(path);
    file.with_context(|| format!("cannot open '{}'", path.display()))
}

/// A path by which another process can open a descriptor of this one.
fn proc_path(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// Opens standard input, output and error for a process. Outputs are appended to.
pub fn open_files(files: &StdioFiles) -> Result<[OwnedFd; 3]> {
    let (mut read, mut write) = (OpenOptions::new(), OpenOptions::new());
    read.read(true);
    write.append(true).create(true);
    let open = |options: &OpenOptions, path: &Option<PathBuf>| {
        let path = path.as_deref().unwrap_or(Path::new("/dev/null"));
        let file = options.open(path).with_context(|| format!("cannot open '{}'", path.display()))?;
        anyhow::Ok(OwnedFd::from(file))
    };
    Ok([open(&read, &files.stdin)?, open(&write, &files.stdout)?, open(&write, &files.stderr)?])
}

/// Starts a logging program (`binary://PROGRAM?KEY=VALUE…`), which reads the output from
/// descriptor 3 and the errors from 4, and closes 5 when it is ready (containerd's runtime
/// v2 logging protocol). Returns the write ends of both pipes.
async fn start_logger(program: &str, id: &str, namespace: &str, reaper: &Reaper) -> Result<(File, File)> {
    let (path, query) = program.split_once('?').unwrap_or((program, ""));
    let (stdout, stdout_writer) = std::io::pipe()?;
    let (stderr, stderr_writer) = std::io::pipe()?;
    let (ready, ready_writer) = std::io::pipe()?;
    let inherited = [stdout.as_raw_fd(), stderr.as_raw_fd(), ready_writer.as_raw_fd()];
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for argument in query.split('&').filter(|argument| !argument.is_empty()) {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        command.args([name, value].iter().filter(|word| !word.is_empty()));
    }
    command.env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
    // SAFETY: calls fcntl and dup2 only, on open descriptors. All of them are moved out of
    // the way first, so that none is overwritten before it is used.
    unsafe {
        command.pre_exec(move || {
            let mut moved = [0; 3];
            for (moved, descriptor) in moved.iter_mut().zip(inherited) {
                *moved = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 10);
            }
            for (place, moved) in (3..).zip(moved) {
                if libc::dup2(moved, place) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let spawned = reaper.spawn(|| command.spawn().map(|child| child.id()));
    let (pid, _) = spawned.map_err(|error| anyhow!("cannot start the logging program '{path}': {error}"))?;
    drop((command, ready_writer));
    // Ends when the program closes the pipe, or ends itself.
    let mut ready = pipe::Receiver::from_owned_fd(ready.into())?;
    let answered = tokio::time::timeout(LOGGER_TIMEOUT, ready.read(&mut [0])).await;
    if answered.is_err() {
        let _ = reaper.signal(pid, libc::SIGKILL);
        bail!("the logging program '{path}' was not ready within {} s", LOGGER_TIMEOUT.as_secs());
    }
    let file = |writer: std::io::PipeWriter| File::from(OwnedFd::from(writer));
    Ok((file(stdout_writer), file(stderr_writer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::io::{Read as _, Write as _};

    fn stdio(directory: &Path, scheme: &str, name: &str) -> StdioUris {
        let path = directory.join(name).display().to_string();
        StdioUris { stdout: format!("{scheme}{path}"), ..StdioUris::default() }
    }

    /// Prepares it as the shim does.
    fn prepare(stdio: &StdioUris, id: &str) -> Result<PreparedStdio> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { stdio.prepare(id, "n", &Reaper::start().unwrap()).await })
    }

    /// What the helper would open as the output.
    fn output(prepared: &PreparedStdio) -> PathBuf {
        prepared.files.stdout.clone().unwrap()
    }

    #[test]
    fn a_file_gets_its_directories_and_an_unknown_scheme_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let prepared = prepare(&stdio(directory.path(), "file://", "a/b/log"), "c").unwrap();
        assert_eq!(output(&prepared), directory.path().join("a/b/log"));
        assert!(directory.path().join("a/b").is_dir());
        let Err(error) = prepare(&stdio(directory.path(), "http://", "x"), "c") else { panic!("accepted") };
        assert!(error.to_string().contains("'http'"));
    }

    #[test]
    fn a_process_does_not_see_a_closed_pipe_while_nobody_reads() {
        let directory = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&directory.path().join("out"), Mode::S_IRWXU).unwrap();
        let prepared = prepare(&stdio(directory.path(), "", "out"), "c").unwrap();
        let mut process = OpenOptions::new().write(true).open(output(&prepared)).unwrap();
        let open = prepared.open().unwrap();
        process.write_all(b"kept for whoever reads later").unwrap();
        let mut text = String::new();
        let mut reader = File::open(directory.path().join("out")).unwrap();
        drop((process, open));
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept for whoever reads later");
    }

    #[test]
    fn the_input_ends_when_containerd_closes_it_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let stdin = StdioUris { stdin: path.display().to_string(), ..StdioUris::default() };
        let prepared = prepare(&stdin, "c").unwrap();
        let mut process = File::open(&path).unwrap();
        let mut open = prepared.open().unwrap();
        // A client attaches, writes and detaches.
        OpenOptions::new().write(true).open(&path).unwrap().write_all(b"one").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(process.read(&mut bytes).unwrap(), 3);
        OpenOptions::new().write(true).open(&path).unwrap().write_all(b"two").unwrap();
        open.close_input();
        assert_eq!(process.read(&mut bytes).unwrap(), 3);
        assert_eq!(process.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn a_logging_program_reads_the_output_once_it_is_ready() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("logger");
        let log = directory.path().join("log");
        let text =
            format!("#!/bin/sh\nexec 5>&-\n{{ echo $CONTAINER_ID $1 $2; cat <&3; }} >{}\n", log.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let prepared = prepare(&stdio(directory.path(), "binary://", "logger?key=value"), "site").unwrap();
        let mut process = OpenOptions::new().write(true).open(output(&prepared)).unwrap();
        process.write_all(b"hello\n").unwrap();
        drop((process, prepared));
        let expected = "site key value\nhello\n";
        for _ in 0..500 {
            if std::fs::read_to_string(&log).is_ok_and(|text| text == expected) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the log is {:?}", std::fs::read_to_string(&log));
    }
}
