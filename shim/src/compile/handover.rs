//! The container's end: asks the shim for the module's code.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::sys::stat::{SFlag, fstat};
use ssr_code_cache::cache::Code;
use ssr_code_cache::ipc::{self, Request};
use ssr_wasm::code_source::CodeSource;
use ssr_wasm::compile::{CompiledCode, MachineCode};

use crate::helper::inherited_fds::CODE_SOCKET;

/// Where the module's code comes from: the shim, if it has left a socket to this process.
pub fn code_source() -> CodeSource {
    let kind = fstat(CODE_SOCKET).map(|file| SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT);
    if kind != Ok(SFlag::S_IFSOCK) {
        return CodeSource::Compile;
    }
    // SAFETY: the helper has left it to this process, and nothing else uses it.
    let socket = unsafe { OwnedFd::from_raw_fd(CODE_SOCKET) };
    CodeSource::Provider(Box::new(move |name, module, limits| {
        let request = Request { name: name.to_owned(), render_memory_limit: limits.render_memory_limit };
        let Code { file, metadata, machine, warnings, notes, .. } = ipc::ask(&socket, &request, module)?;
        for warning in warnings {
            log::warn!("{warning}");
        }
        for note in notes {
            log::info!("{note}");
        }
        let how = match machine {
            MachineCode::InFile => "compiled code",
            MachineCode::Shared(_) | MachineCode::Linked(_) => {
                "the machine code of one of the shim's engines"
            }
        };
        log::debug!("{name} runs on {how}");
        Ok(CompiledCode { file: file.into_file(), interruption: metadata.interruption, machine })
    }))
}
