//! Machine code that several modules share.

use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{CustomCodeMemory, Result};

/// Machine code in a file that nobody can change: it takes the place of the zeros that
/// [`super::artifact::for_site`] leaves.
#[derive(Debug)]
pub struct SharedText {
    file: File,
    /// Where it begins, on a page of memory.
    offset: u64,
    length: usize,
}

impl SharedText {
    /// Machine code of `length` bytes at `offset`. Nobody may be able to write to the file.
    pub fn new(file: File, offset: u64, length: usize) -> Self {
        Self { file, offset, length }
    }

    /// The file, and where the machine code begins and how long it is, in bytes.
    pub fn place(&self) -> (&File, u64, usize) {
        (&self.file, self.offset, self.length)
    }

    /// The same for another module.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, ..*self })
    }
}

impl CustomCodeMemory for SharedText {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        // wasmtime rounds to pages what it passes.
        let expected = self.length.next_multiple_of(self.required_alignment());
        if length.next_multiple_of(self.required_alignment()) != expected {
            let message = format!("the machine code has {expected} bytes, but the module wants {length}");
            return Err(wasmtime::Error::msg(message));
        }
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: replaces whole pages that wasmtime passes, which belong to this module's mapping
        // and hold zeros. The new ones cannot be written to, and nobody can change the file.
        unsafe {
            rustix::mm::mmap(start.cast_mut().cast(), expected, protection, flags, &self.file, self.offset)?;
        }
        Ok(())
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        // SAFETY: wasmtime passes the pages that `publish_executable` has mapped, and no longer uses
        // them. A private mapping: writing to it would not reach the file.
        unsafe { rustix::mm::mprotect(start.cast_mut().cast(), length, MprotectFlags::READ)? };
        Ok(())
    }
}
