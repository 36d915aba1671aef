//! Returns memory of this process that it does not need any more to the kernel.

use std::time::Duration;

/// Start-up work is over this long after it began.
const START_UP: Duration = Duration::from_secs(1);

/// Frees what only the start has needed, one second after it: unmaps the pages of this
/// program's own code and constants, and returns the heap's free pages. What is needed
/// again is mapped again from the page cache, which all processes share. The kernel maps
/// 16 pages around each page that is touched: after a start that is most of the program,
/// of which serving a site needs a third.
pub async fn trim_after_start() {
    tokio::time::sleep(START_UP).await;
    unmap_code();
    trim_heap();
}

fn unmap_code() {
    // Symbols of every linker: the first byte of the program, and the end of its code.
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    const PAGE: usize = 64 << 10;
    let (start, end) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    // Whole pages of any size up to 64 KiB, without the last one's other contents.
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
    if start < end {
        let first = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: these pages are read-only, so they are faulted in again unchanged.
        unsafe { libc::madvise(first, end - start, libc::MADV_DONTNEED) };
    }
}

/// Makes all threads share one heap arena, so that memory freed by one is reused by the
/// others. Call it before any thread is started.
pub fn use_single_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no requirements.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns the heap's free pages to the kernel.
pub fn trim_heap() {
    // musl does so by itself.
    #[cfg(target_env = "gnu")]
    // SAFETY: has no requirements.
    unsafe {
        libc::malloc_trim(0);
    }
}
