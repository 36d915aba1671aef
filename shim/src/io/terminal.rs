//! A process's terminal: the container has one end, the shim has the other and copies
//! between it and containerd's FIFOs.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use containerd_shim::asynchronous::io::{IoTasks, Pty};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::stdio::StdioUris;

/// Receives a terminal's master from the helper.
pub struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The socket's directory, for [`Self::short_path`].
    directory: File,
    name: String,
}

impl ConsoleSocket {
    /// Binds a socket `name` in `directory`.
    pub fn bind(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        // A bundle's path is often longer than a socket address may be.
        let opened = File::open(directory)?;
        let short = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
        // Left by a shim that was killed.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(short)
            .with_context(|| format!("cannot create the terminal's socket '{}'", path.display()))?;
        Ok(Self { listener, path, directory: opened, name: name.to_owned() })
    }

    /// A path that another process can use as an address, while this one exists.
    pub fn short_path(&self) -> PathBuf {
        let (pid, directory) = (std::process::id(), self.directory.as_raw_fd());
        format!("/proc/{pid}/fd/{directory}/{}", self.name).into()
    }

    /// Takes what the helper has sent; it has ended by now.
    pub fn receive(self) -> Result<Terminal> {
        self.listener.set_nonblocking(true)?;
        let (connection, _) = self.listener.accept().context("the helper has opened no terminal")?;
        let mut byte = [0; 64];
        let mut space = nix::cmsg_space!(libc::c_int);
        let mut data = [IoSliceMut::new(&mut byte)];
        let message =
            recvmsg::<()>(connection.as_raw_fd(), &mut data, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let mut descriptors = message.cmsgs()?.filter_map(|part| match part {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
        let descriptor = descriptors.next().ok_or_else(|| anyhow!("the helper has sent no terminal"))?;
        // SAFETY: the kernel has just opened it for this process.
        let master = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Terminal { pty: Pty::new(File::from(master))?, tasks: IoTasks::default() })
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The shim's end of a terminal.
pub struct Terminal {
    pty: Pty,
    tasks: IoTasks,
}

impl Terminal {
    /// Starts copying.
    pub fn copy(&self, stdio: &StdioUris) -> Result<()> {
        if !stdio.stdin.is_empty() {
            self.tasks.copy_from_fifo(&stdio.stdin, self.pty.clone())?;
        }
        if !stdio.stdout.is_empty() {
            self.tasks.copy_to_fifo(self.pty.clone(), &stdio.stdout)?;
        }
        Ok(())
    }

    /// Sets the size of the window.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = libc::winsize {
            ws_row: u16::try_from(height).unwrap_or(u16::MAX),
            ws_col: u16::try_from(width).unwrap_or(u16::MAX),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is a terminal, and the request takes this structure.
        let result = unsafe { libc::ioctl(self.pty.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        if result < 0 {
            return Err(std::io::Error::last_os_error()).context("cannot resize the terminal");
        }
        Ok(())
    }

    /// Closes the input.
    pub fn close_input(&self) {
        self.tasks.close_input();
    }

    /// Delivers the rest of the output and closes the terminal.
    pub async fn close(self) {
        drop(self.pty);
        self.tasks.shutdown().await;
    }
}
