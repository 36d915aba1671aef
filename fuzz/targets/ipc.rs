//! A message of a container's process to its shim, and one in the other direction.
#![no_main]

use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair,
};
use ssr_code_cache::ipc;

static MODULE: LazyLock<File> = LazyLock::new(|| {
    let mut file = tempfile::tempfile().expect("a temporary file");
    // Anything else is refused, whatever the message says.
    file.write_all(b"\0asm\x01\0\0\0").expect("it is written");
    file
});

// The first byte says how many files come with the message.
fuzz_target!(|input: &[u8]| {
    let Some((files, message)) = input.split_first() else { return };
    for is_request in [true, false] {
        let (here, there) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("sockets");
        let files = vec![MODULE.as_raw_fd(); usize::from(files % 4)];
        let rights = [ControlMessage::ScmRights(&files)];
        let control = if files.is_empty() { &[][..] } else { &rights };
        let sent =
            sendmsg::<UnixAddr>(here.as_raw_fd(), &[IoSlice::new(message)], control, MsgFlags::empty(), None);
        if sent.is_err() {
            return;
        }
        if is_request {
            let _ = ipc::receive_message(&there);
        } else {
            let _ = ipc::receive_answer(&there);
        }
    }
});
