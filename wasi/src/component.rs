//! Compiled components from open files.

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};
use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Compiled code in memory. It must outlive the component that is made of it.
pub(crate) struct Mapping(NonNull<[u8]>);

// SAFETY: the memory belongs to the value alone, and this module does not change it.
unsafe impl Send for Mapping {}
// SAFETY: the same.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// wasmtime maps components only by paths, which whoever runs them may not open again.
    fn new(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new private mapping of an open file, which nobody can change.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(ptr::null_mut(), length, protection, MapFlags::PRIVATE, file, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped nowhere"))?;
        Ok(Self(NonNull::slice_from_raw_parts(start, length)))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and used by nobody any more.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), self.0.len()) };
    }
}

/// Maps compiled code.
///
/// # Safety
/// The file must be compiled code that wasmtime wrote, as for [`Component::deserialize_raw`],
/// and the component and all that is made of it must be dropped before the mapping.
pub(crate) unsafe fn map(engine: &Engine, file: &File) -> Result<(Component, Mapping)> {
    let mapping = Mapping::new(file)?;
    // SAFETY: the caller's.
    let component = unsafe { Component::deserialize_raw(engine, mapping.0)? };
    Ok((component, mapping))
}
