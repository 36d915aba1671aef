//! Returns memory of this process that it does not need any more to the kernel.

use std::time::Duration;

use crate::thread_stack::lowest_address;

/// Start-up work is over this long after it began.
const START_UP: Duration = Duration::from_secs(1);

/// What a call may need of the stack below its caller's variables, in bytes.
const FRAMES: usize = 16 << 10;

/// Frees what only the start has needed, one second after it: unmaps the pages of this
/// program's own code and constants, and returns the free pages of the heap and of this
/// thread's stack. What is needed again is mapped again from the page cache, which all
/// processes share, with the 64 KiB around it: functions that are needed are together in the
/// program (`cli/function-order.ld`).
pub async fn trim_after_start() {
    tokio::time::sleep(START_UP).await;
    trim_stack();
    trim_heap();
    unmap_code();
}

/// Frees what requests have needed, when none has come for a while: the same pages, but of
/// this thread's stack.
pub fn trim_when_idle() {
    trim_heap();
    unmap_code();
}

/// To be done last: code that runs after it is mapped again.
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
fn trim_heap() {
    // musl does so by itself.
    #[cfg(target_env = "gnu")]
    // SAFETY: has no requirements.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns the pages that this thread's stack once needed: it keeps each page that it has ever
/// reached.
fn trim_stack() {
    let Some(lowest) = lowest_address() else { return };
    let page = rustix::param::page_size();
    let here = std::hint::black_box(0u8);
    let end = ((&raw const here).addr().saturating_sub(FRAMES)) / page * page;
    let start = lowest.next_multiple_of(page);
    if start < end {
        // SAFETY: these pages are this thread's stack below all that is on it, where it grows to.
        // Of the first thread, some may not be mapped yet: that is no fault.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn use_stack(depth: usize) -> usize {
        let filled = std::hint::black_box([depth; 4096]);
        if depth == 0 { filled[1] } else { use_stack(depth - 1) + filled[2] }
    }

    /// Pages of this thread's stack that are in memory, in kB.
    fn stack_in_memory() -> usize {
        let here = std::hint::black_box(0u8);
        let here = (&raw const here).addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let word = line.split(' ').next().unwrap();
            if let Some((start, end)) = word.split_once('-') {
                let bounds = [start, end].map(|bound| usize::from_str_radix(bound, 16).unwrap());
                inside = (bounds[0]..bounds[1]).contains(&here);
            } else if inside && word == "Rss:" {
                return line.split_whitespace().nth(1).unwrap().parse().unwrap();
            }
        }
        panic!("no stack");
    }

    #[test]
    fn a_stack_gives_back_what_it_once_needed() {
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
            assert_eq!(use_stack(20), (0..=19).sum::<usize>() + 20);
            let before = stack_in_memory();
            trim_stack();
            (before, stack_in_memory())
        });
        let (before, after) = thread.unwrap().join().unwrap();
        assert!(before > 600 && after < 200, "{before} kB before, {after} kB after");
    }
}
