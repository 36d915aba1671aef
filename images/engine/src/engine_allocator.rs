//! QuickJS's allocator: the guest's heap, as QuickJS asks for it.

use std::ptr;

use crate::page_heap::HEAP;

/// The heap as QuickJS's allocator.
pub struct EngineAllocator;

// SAFETY: as for `GlobalAlloc`.
unsafe impl rquickjs::allocator::Allocator for EngineAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        HEAP.allocate(size)
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let Some(size) = count.checked_mul(size) else { return ptr::null_mut() };
        let block = HEAP.allocate(size);
        if !block.is_null() {
            // SAFETY: the block is that long.
            unsafe { ptr::write_bytes(block, 0, size) };
        }
        block
    }

    unsafe fn dealloc(&mut self, block: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe { HEAP.free(block) }
    }

    unsafe fn realloc(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { HEAP.resize(block, size) }
    }

    unsafe fn usable_size(block: *mut u8) -> usize {
        // SAFETY: the caller's contract.
        unsafe { HEAP.usable_size(block) }
    }
}

/// Fills the holes in QuickJS's own arenas with blocks that are never freed, so
/// that requests, too, begin with fresh ones. An arena without a hole makes
/// QuickJS ask for a span, which is how the end is seen.
///
/// # Safety
/// `runtime` is a live QuickJS runtime that uses [`EngineAllocator`].
pub unsafe fn fill_engine_arenas(runtime: *mut rquickjs::qjs::JSRuntime) {
    // Block sizes of quickjs.c (`arena_block_sizes`), of which 8 bytes are a header.
    let sizes = (16..128).step_by(8).chain((128..256).step_by(16)).chain((256..=512).step_by(32));
    for size in sizes {
        let before = HEAP.spans();
        while HEAP.spans() == before {
            // SAFETY: by the contract. The block is left to the snapshot on purpose.
            let block = unsafe { rquickjs::qjs::js_malloc_rt(runtime, size - 8) };
            if block.is_null() {
                return;
            }
        }
    }
}
