//! Where a process's input comes from and its output goes to: what containerd
//! names are FIFOs, files, or a program that takes the output.
//!
//! The container's process has the FIFOs themselves, so nothing is copied and no
//! output passes through the shim. The shim only holds them: their other ends
//! come and go (a client detaches, containerd is restarted), and without it the
//! process would meet a closed pipe or an end of input.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Inherit};

use anyhow::{Context, Result, anyhow, bail};

use crate::runtime;

/// What containerd asks for: URIs or plain paths; empty ones are not wanted.
#[derive(Debug, Clone, Default)]
pub struct Stdio {
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub terminal: bool,
}

/// What the shim keeps open for a process.
#[derive(Default)]
pub struct Held {
    /// The writing end of the input, until containerd says that no more comes.
    input: Option<File>,
    /// Reading ends of the outputs.
    outputs: Vec<File>,
}

/// Standard input, output and error ready to be opened by the runtime, and what
/// has to stay open while it does so.
pub struct Prepared {
    pub files: runtime::Stdio,
    held: Held,
    stdin: Option<PathBuf>,
}

impl Stdio {
    /// Makes FIFOs openable without waiting for their other ends.
    pub fn prepare(&self, id: &str, namespace: &str) -> Result<Prepared> {
        let mut held = Held::default();
        let stdin = place(&self.stdin)?;
        if let Some(path) = &stdin {
            // For reading as well: a FIFO without a reader cannot be opened for
            // writing only. This is mended as soon as the process has it.
            held.input = Some(hold(path, OpenOptions::new().read(true).write(true))?);
        }
        let (stdout, stderr) = match self.stdout.strip_prefix("binary://") {
            Some(program) => {
                let (stdout, stderr) = start_logger(program, id, namespace)?;
                let files = [path_of(&stdout), path_of(&stderr)];
                held.outputs.extend([stdout, stderr]);
                let [stdout, stderr] = files;
                (Some(stdout), Some(stderr))
            }
            None => (place(&self.stdout)?, place(&self.stderr)?),
        };
        for path in stdout.iter().chain(&stderr) {
            if is_fifo(path) && !path.starts_with("/proc") {
                held.outputs.push(hold(path, OpenOptions::new().read(true))?);
            }
        }
        let files = runtime::Stdio::Files { stdin: stdin.clone(), stdout, stderr };
        Ok(Prepared { files, held, stdin })
    }
}

impl Prepared {
    /// To be called when the process has its files.
    pub fn hold(mut self) -> Result<Held> {
        if let Some(path) = &self.stdin {
            // It is a reader of its own now; ours would keep writers waiting for ever
            // after the process has ended.
            self.held.input = match is_fifo(path) {
                true => Some(hold(path, OpenOptions::new().write(true))?),
                false => None,
            };
        }
        Ok(self.held)
    }
}

impl Held {
    /// Lets go of the input: the process meets its end when containerd's writer,
    /// too, has let go.
    pub fn close_input(&mut self) {
        self.input = None;
    }
}

/// The path that containerd means, if any.
fn place(uri: &str) -> Result<Option<PathBuf>> {
    let path = match uri.split_once("://") {
        None => uri,
        Some(("fifo", path)) => path,
        Some(("file", path)) => {
            let path = Path::new(path.split('?').next().unwrap_or(path));
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot make '{}' for the log", directory.display()))?;
            }
            return Ok(Some(path.to_owned()));
        }
        Some((scheme, _)) => {
            bail!("the output goes to '{uri}', and '{scheme}' is none of: a FIFO's path, file, binary")
        }
    };
    Ok(if path.is_empty() { None } else { Some(path.into()) })
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn hold(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK).open(path);
    file.with_context(|| format!("cannot open '{}'", path.display()))
}

/// A path by which another process can open this one's descriptor.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// Starts containerd's logging program (`binary://PROGRAM?KEY=VALUE…`): it reads
/// the output from descriptor 3 and the errors from 4, and closes 5 when it is
/// ready (containerd, runtime/v2 logging).
/// Returns the writing ends of both pipes.
fn start_logger(program: &str, id: &str, namespace: &str) -> Result<(File, File)> {
    let (path, query) = program.split_once('?').unwrap_or((program, ""));
    let (stdout, stdout_writer) = std::io::pipe()?;
    let (stderr, stderr_writer) = std::io::pipe()?;
    let (mut ready, ready_writer) = std::io::pipe()?;
    let inherited = [stdout.as_raw_fd(), stderr.as_raw_fd(), ready_writer.as_raw_fd()];
    let mut command = Command::new(path);
    command.stdin(Inherit::null()).stdout(Inherit::null()).stderr(Inherit::null());
    for argument in query.split('&').filter(|argument| !argument.is_empty()) {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        command.args([name, value].iter().filter(|word| !word.is_empty()));
    }
    command.env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
    // SAFETY: dup and dup2 only, on descriptors that are open; all of them are moved
    // out of the way first, so that none is overwritten before it is used.
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
    command.spawn().map_err(|error| anyhow!("cannot start the logging program '{path}': {error}"))?;
    drop(ready_writer);
    // It ends or closes the pipe, one or the other.
    std::io::Read::read(&mut ready, &mut [0])?;
    let file = |writer: std::io::PipeWriter| File::from(std::os::fd::OwnedFd::from(writer));
    Ok((file(stdout_writer), file(stderr_writer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::io::{Read as _, Write as _};

    fn stdio(directory: &Path, scheme: &str, name: &str) -> Stdio {
        let path = directory.join(name).display().to_string();
        Stdio { stdout: format!("{scheme}{path}"), ..Stdio::default() }
    }

    /// What the runtime would open as the output.
    fn output(prepared: &Prepared) -> PathBuf {
        match &prepared.files {
            runtime::Stdio::Files { stdout, .. } => stdout.clone().unwrap(),
            runtime::Stdio::Terminal { .. } => panic!("no terminal was asked for"),
        }
    }

    #[test]
    fn a_file_gets_its_directories_and_an_unknown_scheme_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let prepared = stdio(directory.path(), "file://", "a/b/log").prepare("c", "n").unwrap();
        assert_eq!(output(&prepared), directory.path().join("a/b/log"));
        assert!(directory.path().join("a/b").is_dir());
        let Err(error) = stdio(directory.path(), "http://", "x").prepare("c", "n") else {
            panic!("accepted")
        };
        assert!(error.to_string().contains("'http'"));
    }

    #[test]
    fn a_process_does_not_meet_a_closed_pipe_while_nobody_reads() {
        let directory = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&directory.path().join("out"), Mode::S_IRWXU).unwrap();
        let prepared = stdio(directory.path(), "", "out").prepare("c", "n").unwrap();
        let mut process = OpenOptions::new().write(true).open(output(&prepared)).unwrap();
        let held = prepared.hold().unwrap();
        process.write_all(b"kept for whoever reads later").unwrap();
        let mut text = String::new();
        let mut reader = File::open(directory.path().join("out")).unwrap();
        drop((process, held));
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept for whoever reads later");
    }

    #[test]
    fn the_input_ends_when_containerd_says_so_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let stdin = Stdio { stdin: path.display().to_string(), ..Stdio::default() };
        let prepared = stdin.prepare("c", "n").unwrap();
        let mut process = File::open(&path).unwrap();
        let mut held = prepared.hold().unwrap();
        // A client comes, writes and goes.
        OpenOptions::new().write(true).open(&path).unwrap().write_all(b"one").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(process.read(&mut bytes).unwrap(), 3);
        OpenOptions::new().write(true).open(&path).unwrap().write_all(b"two").unwrap();
        held.close_input();
        assert_eq!(process.read(&mut bytes).unwrap(), 3);
        assert_eq!(process.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn a_logging_program_reads_both_outputs_after_it_has_said_that_it_is_ready() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("logger");
        let log = directory.path().join("log");
        let text =
            format!("#!/bin/sh\nexec 5>&-\n{{ echo $CONTAINER_ID $1 $2; cat <&3; }} >{}\n", log.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let prepared = stdio(directory.path(), "binary://", "logger?key=value").prepare("site", "n").unwrap();
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
