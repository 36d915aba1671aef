//! The memory of one render at a time: addresses that are reserved once, and the site's image.

use std::io;
use std::ptr;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use super::image::SiteImage;

/// A memory that begins with a site's image, as often as it is reset.
#[derive(Debug)]
pub struct Space {
    base: *mut u8,
    reserved: usize,
    initial: usize,
    size: usize,
}

// SAFETY: the mapping belongs to this value alone, and no thread of its own.
unsafe impl Send for Space {}

impl Space {
    /// Reserves `limit` bytes of addresses, or as many as the site's memory can have, and maps its
    /// image.
    ///
    /// # Errors
    /// If there are not enough addresses, or the site begins with more.
    pub fn new(image: &SiteImage, limit: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let reserved = limit.min(image.largest).max(image.initial) / page * page;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let base = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), reserved.max(page), ProtFlags::empty(), flags)?
        };
        let space = Self { base: base.cast(), reserved, initial: image.initial, size: image.initial };
        if space.initial > reserved {
            return Err(io::Error::other("the site begins with more memory than it may use"));
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        space.protect(0..space.initial, MprotectFlags::READ | MprotectFlags::WRITE)?;
        if image.length > 0 {
            // SAFETY: replaces pages of this value's own mapping: the image lies within `initial`.
            // Nobody can change the file, nor does a private mapping.
            unsafe {
                let at = space.base.add(image.start).cast();
                let flags = MapFlags::PRIVATE | MapFlags::FIXED;
                rustix::mm::mmap(at, image.length, protection, flags, &image.file, image.offset)?;
            }
        }
        Ok(space)
    }

    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are mapped, readable and writable, and belong to this value. The C
        // code that uses them, too, does not run while somebody has this reference.
        unsafe { std::slice::from_raw_parts_mut(self.base, self.size) }
    }

    /// The address and the size, for the C code.
    pub fn place(&self) -> (*mut u8, usize) {
        (self.base, self.size)
    }

    /// Grows it to `size` bytes. `false` if that is more than its addresses.
    ///
    /// # Errors
    /// If the system has no memory.
    pub fn grow(&mut self, size: usize) -> io::Result<bool> {
        if size > self.reserved {
            return Ok(false);
        }
        self.protect(self.size..size, MprotectFlags::READ | MprotectFlags::WRITE)?;
        self.size = size;
        Ok(true)
    }

    /// Makes it what it was at first.
    ///
    /// # Errors
    /// If the system refuses; then it must not be used again.
    pub fn reset(&mut self) -> io::Result<()> {
        // Linux gives pages of a private mapping back: what follows is the file's content, or zeros.
        // SAFETY: this value's own pages, to which there is no reference.
        unsafe { rustix::mm::madvise(self.base.cast(), self.size, Advice::LinuxDontNeed)? };
        self.protect(self.initial..self.size, MprotectFlags::empty())?;
        self.size = self.initial;
        Ok(())
    }

    fn protect(&self, range: std::ops::Range<usize>, flags: MprotectFlags) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: whole pages of this value's own mapping: sizes are multiples of 64 KiB.
        unsafe { rustix::mm::mprotect(self.base.add(range.start).cast(), range.len(), flags)? };
        Ok(())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let length = self.reserved.max(rustix::param::page_size());
        // SAFETY: this value's own mapping, which nobody uses any more.
        let unmapped = unsafe { rustix::mm::munmap(self.base.cast(), length) };
        if let Err(error) = unmapped {
            log::warn!("cannot give back the memory of a render: {error}");
        }
    }
}
