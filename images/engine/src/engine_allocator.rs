//! Connects QuickJS's allocator interface to the guest's heap.

use std::ptr;

use crate::page_heap::HEAP;

/// QuickJS's allocator, backed by [`HEAP`].
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
            // SAFETY: the block has at least `size` bytes.
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
/// that requests start with fresh arenas. Once an arena size has no holes left,
/// QuickJS asks the heap for a span, which ends the loop for that size.
///
/// # Safety
/// `runtime` must be a live QuickJS runtime that uses [`EngineAllocator`].
pub unsafe fn fill_engine_arenas(runtime: *mut rquickjs::qjs::JSRuntime) {
    // The block sizes of `arena_block_sizes` in quickjs.c; each includes an 8-byte header.
    let sizes = (16..128).step_by(8).chain((128..256).step_by(16)).chain((256..=512).step_by(32));
    for size in sizes {
        let before = HEAP.spans();
        while HEAP.spans() == before {
            // SAFETY: the caller's contract. The block is deliberately leaked into the snapshot.
            let block = unsafe { rquickjs::qjs::js_malloc_rt(runtime, size - 8) };
            if block.is_null() {
                return;
            }
        }
    }
}
