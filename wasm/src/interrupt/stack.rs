//! The way back from the host into compiled code: return addresses on a thread's stack.

use std::cell::OnceCell;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

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

fn lowest_address() -> Option<usize> {
    let mut attributes = MaybeUninit::uninit();
    let (mut lowest, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the attributes are read once they were written, and freed.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut size) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        found.then_some(lowest.addr())
    }
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
