//! Where this thread's stack ends.

use std::mem::MaybeUninit;
use std::ptr;

/// The lowest address that this thread's stack may grow to. `None` if the system does not say.
pub fn lowest_address() -> Option<usize> {
    let mut attributes = MaybeUninit::uninit();
    let (mut lowest, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the attributes are read once they were written, and freed.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut size) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        found.then(|| lowest.expose_provenance())
    }
}
