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
