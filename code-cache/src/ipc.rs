//! How a container's process gets compiled code from outside: it sends its module as an
//! open file and receives the code as another, over a socket that preserves message
//! boundaries (`SOCK_SEQPACKET`). Whoever makes the container may announce the module
//! before, so that its code is ready when the process asks.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use ssr_wasm::carried::text::SharedText;
use ssr_wasm::compile::{CompileError, MachineCode};
use ssr_wasm::own_engines::{self, OwnEngine};

use crate::cache::Code;
use crate::metadata::EntryMetadata;
use crate::read_only::ReadOnlyFile;

/// Longest message, in bytes. Errors and warnings are truncated to fit.
const MAX_MESSAGE: usize = 64 << 10;
const MAX_ERROR: usize = 4 << 10;

/// Most files of a message.
const MAX_FILES: usize = 2;

/// What a provider receives. The module's file comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The container will ask for the code of the module with this name, which is for people.
    /// Nobody waits for an answer.
    Announcement(String),
    /// Somebody waits for its code.
    Request(Request),
}

/// What a container's process asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name, for people.
    pub name: String,
    /// The memory limit of a render in bytes, which 32-bit code depends on.
    pub render_memory_limit: usize,
}

/// The answer. The code's file comes with [`Answer::Code`], and then the machine code's, if that is
/// another one.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Code {
        metadata: Box<EntryMetadata>,
        /// Offset and length of the machine code, in bytes, if another file has it.
        text: Option<(u64, usize)>,
        compiled: bool,
        warnings: Vec<String>,
        notes: Vec<String>,
    },
    Module(String),
    System(String),
}

/// After this many milliseconds without an answer, the log says what is going on.
const QUIET_MS: u16 = 1_000;

/// Says that the code of `module` will be asked for at the same end of the socket. Does nothing
/// for a file in the text format or a table of routes: what is asked for is another file then.
pub fn announce(socket: impl AsFd, name: &str, module: &File) -> io::Result<()> {
    if !is_webassembly(module) {
        return Ok(());
    }
    send(socket, &Message::Announcement(name.to_owned()), &[module])
}

/// Asks for the code of `module` and waits for it.
pub fn ask(socket: impl AsFd, request: &Request, module: &File) -> Result<Code, CompileError> {
    send(&socket, &Message::Request(request.clone()), &[module])?;
    let mut answer = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    if poll(&mut answer, QUIET_MS).is_ok_and(|ready| ready == 0) {
        log::info!("compiling {} (once per node)", request.name);
    }
    receive_answer(socket)
}

/// Receives what [`announce`] and [`ask`] send. `None` if the other side has closed the socket.
/// The message is not trusted: it comes from a container.
pub fn receive_message(socket: impl AsFd) -> io::Result<Option<(Message, File)>> {
    let Some((message, mut files)) = receive(socket)? else { return Ok(None) };
    let file = files.next().ok_or_else(|| invalid("the request has no module"))?;
    // Reading anything else could block for ever.
    if !file.metadata()?.is_file() {
        return Err(invalid("the module is not a regular file"));
    }
    // Nor is anything else hashed: files of /proc, whose content depends on who reads them,
    // are regular, too.
    match is_webassembly(&file) {
        true => Ok(Some((message, file))),
        false => Err(invalid("the module's file is not WebAssembly")),
    }
}

fn is_webassembly(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_at(&mut magic, 0).is_ok_and(|read| read == 4 && magic == *b"\0asm")
}

/// Sends what [`ask`] waits for.
pub fn answer(socket: impl AsFd, code: &Result<Code, CompileError>) -> io::Result<()> {
    let truncate = |text: String| text.chars().take(MAX_ERROR).collect();
    match code {
        Ok(Code { file, metadata, machine, compiled, warnings, notes }) => {
            let [warnings, notes] =
                [warnings, notes].map(|texts| texts.iter().take(8).cloned().map(truncate).collect());
            let (metadata, compiled) = (Box::new(metadata.clone()), *compiled);
            let text = match machine {
                MachineCode::Shared(text) => Some(text.place()),
                MachineCode::InFile | MachineCode::Linked(_) => None,
            };
            let files: Vec<_> = [file.as_file()].into_iter().chain(text.map(|(file, ..)| file)).collect();
            let text = text.map(|(_, offset, length)| (offset, length));
            send(socket, &Answer::Code { metadata, text, compiled, warnings, notes }, &files)
        }
        Err(CompileError::Module(reason)) => send(socket, &Answer::Module(truncate(reason.clone())), &[]),
        Err(CompileError::System(error)) => send(socket, &Answer::System(truncate(error.to_string())), &[]),
    }
}

/// Receives what [`answer`] sends.
pub fn receive_answer(socket: impl AsFd) -> Result<Code, CompileError> {
    let gone = || {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the process that provides compiled code has ended without an answer; containerd's log may say why",
        )
    };
    let (answer, mut files) = receive(socket)?.ok_or_else(gone)?;
    match answer {
        Answer::Code { metadata, text, compiled, warnings, notes } => {
            let mut file = || files.next().ok_or_else(|| invalid("the answer has no code"));
            let code = ReadOnlyFile::received(file()?);
            let machine = match (text, own_engines::with_id(&metadata.key.engine)) {
                (Some((offset, length)), _) => MachineCode::Shared(SharedText::new(file()?, offset, length)),
                (None, Some(OwnEngine::Linked(engine))) => MachineCode::Linked(engine),
                (None, _) => MachineCode::InFile,
            };
            Ok(Code { file: code, metadata: *metadata, machine, compiled, warnings, notes })
        }
        Answer::Module(reason) => Err(CompileError::Module(reason)),
        Answer::System(reason) => Err(io::Error::other(reason).into()),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn send(socket: impl AsFd, message: &impl Serialize, files: &[&File]) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    let files: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&files)];
    let control = if files.is_empty() { &[][..] } else { &rights };
    let socket = socket.as_fd().as_raw_fd();
    sendmsg::<UnixAddr>(socket, &[IoSlice::new(&message)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// A message, and the files that came with it.
type Received<T> = (T, std::vec::IntoIter<File>);

fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Received<T>>> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let mut control = nix::cmsg_space!([i32; MAX_FILES]);
    let (length, files) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let socket = socket.as_fd().as_raw_fd();
        let message =
            recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let mut files = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = part {
                // SAFETY: the kernel has just opened these descriptors for this process.
                files.extend(
                    received.into_iter().map(|file| File::from(unsafe { OwnedFd::from_raw_fd(file) })),
                );
            }
        }
        (message.bytes, files)
    };
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[..length])?;
    Ok(Some((message, files.into_iter())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::io::{Read as _, Write as _};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    fn file(text: &str) -> File {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.reopen().unwrap()
    }

    #[test]
    fn a_module_is_sent_and_the_compilers_error_comes_back() {
        let (here, there) = pair();
        let compiler = std::thread::spawn(move || {
            let (message, mut module) = receive_message(&there).unwrap().unwrap();
            let Message::Request(request) = message else { panic!("{message:?}") };
            let mut text = String::new();
            module.read_to_string(&mut text).unwrap();
            let reason = format!("{} of {} is {text}", request.name, request.render_memory_limit);
            answer(&there, &Err(CompileError::Module(reason.repeat(1000)))).unwrap();
        });
        let request = Request { name: "ssr.wasm".to_owned(), render_memory_limit: 5 };
        match ask(&here, &request, &file("\0asm odd")).unwrap_err() {
            CompileError::Module(reason) => {
                assert!(reason.starts_with("ssr.wasm of 5 is \0asm odd"));
                assert_eq!(reason.len(), MAX_ERROR);
            }
            CompileError::System(error) => panic!("{error}"),
        }
        compiler.join().unwrap();
    }

    #[test]
    fn only_a_binary_module_is_announced() {
        let (here, there) = pair();
        announce(&here, "text.wat", &file("(module)")).unwrap();
        announce(&here, "ssr.wasm", &file("\0asm")).unwrap();
        let (message, _) = receive_message(&there).unwrap().unwrap();
        assert_eq!(message, Message::Announcement("ssr.wasm".to_owned()));
        drop(here);
        assert!(receive_message(&there).unwrap().is_none());
    }

    #[test]
    fn malformed_requests_from_a_container_are_rejected() {
        let (here, there) = pair();
        sendmsg::<UnixAddr>(here.as_raw_fd(), &[IoSlice::new(b"nonsense")], &[], MsgFlags::empty(), None)
            .unwrap();
        assert!(receive_message(&there).is_err());
        let request = Request { name: String::new(), render_memory_limit: 0 };
        for message in [Message::Announcement("ssr.wasm".to_owned()), Message::Request(request)] {
            send(&here, &message, &[]).unwrap();
            assert!(receive_message(&there).is_err());
            send(&here, &message, &[&File::open("/dev/zero").unwrap()]).unwrap();
            assert!(receive_message(&there).unwrap_err().to_string().contains("not a regular file"));
            send(&here, &message, &[&File::open("/proc/self/stat").unwrap()]).unwrap();
            assert!(receive_message(&there).unwrap_err().to_string().contains("not WebAssembly"));
        }
        drop(here);
        assert!(receive_message(&there).unwrap().is_none());
    }
}
