//! The way back from the host into compiled code: return addresses on a thread's stack.

use std::cell::OnceCell;
use std::ops::Range;
use std::ptr;

use crate::thread_stack::lowest_address;

thread_local! {
    static LOWEST: OnceCell<Option<usize>> = const { OnceCell::new() };
}

/// The part of this thread's stack that calls use from here on. `None` if the system does not
/// say where the stack ends.
pub fn from_here() -> Option<Range<usize>> {
    let lowest = LOWEST.with(|lowest| *lowest.get_or_init(lowest_address))?;
    let here = 0_u8;
    Some(lowest..ptr::from_ref(&here).addr())
}

/// Puts `address` in the place of every word in `words` that `is_code` names.
///
/// # Safety
///
/// `words` is a part of this thread's stack that is in use, and whoever reads one of these words
/// may find `address` there.
pub unsafe fn replace(words: Range<usize>, is_code: impl Fn(usize) -> bool, address: usize) {
    let first = words.start.next_multiple_of(size_of::<usize>());
    for place in (first..words.end.saturating_sub(size_of::<usize>())).step_by(size_of::<usize>()) {
        let word = ptr::with_exposed_provenance_mut::<usize>(place);
        // SAFETY: the caller's; volatile, because functions that are not asked use these words.
        unsafe {
            if is_code(word.read_volatile()) {
                word.write_volatile(address);
            }
        }
    }
}
