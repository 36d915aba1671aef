//! What of this program is in memory.

use std::time::Duration;

/// How long after a start it is over for certain.
const SOON: Duration = Duration::from_secs(1);

/// Gives back, soon after a start, what only that has needed: unmaps the pages of this
/// program's own code and constants, and the heap's free ones. What is needed again is
/// mapped again, from the file's pages, which all its processes share. The kernel maps
/// 16 pages around each that is touched: after a start that is most of the program, of
/// which a site that is served needs a third.
pub async fn release_soon() {
    tokio::time::sleep(SOON).await;
    unmap_program();
    trim_heap();
}

fn unmap_program() {
    // Every linker defines them: the first byte, and the first one behind the code.
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    const PAGE: usize = 64 << 10;
    let (start, end) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    // Whole pages, however large they are, without what else is in the last one.
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
    if start < end {
        let first = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: pages that nobody can write to come back as they were.
        unsafe { libc::madvise(first, end - start, libc::MADV_DONTNEED) };
    }
}

/// Has all threads share one heap: memory that one of them has freed is used again
/// by the others. To be called before there are any.
pub fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no requirements.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives the heap's free pages back.
pub fn trim_heap() {
    // musl gives them back by itself.
    #[cfg(target_env = "gnu")]
    // SAFETY: has no requirements.
    unsafe {
        libc::malloc_trim(0);
    }
}
