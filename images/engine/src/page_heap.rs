//! The guest's memory: one heap for the build and for requests.
//!
//! While the site is built, blocks are allocated and freed and leave holes all
//! over the heap. A request that allocated from those holes, or freed blocks of
//! the snapshot, would write to pages everywhere, and the host has to restore
//! every page that a request wrote to. So the build ends with [`PageHeap::seal`]:
//! from then on, memory of the snapshot is never reused, and requests allocate
//! contiguously from fresh memory behind it.
//!
//! QuickJS cuts objects and strings from its own 4 KiB arenas, one for each size.
//! This heap provides those arenas, aligned to the host's pages, and larger
//! blocks. Freed blocks go to a free list for each size and are never merged: a
//! request is short, and its memory limit bounds the waste.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

use crate::size_class::{Class, HEADER, PAGE, SMALL_CLASSES, SPAN_CLASSES, STEP, span_class, span_pages};

const WASM_PAGE: usize = 64 << 10;

/// The alignment of blocks. Allocations that need more (QuickJS has none) go to
/// the C library.
const ALIGN: usize = 8;
/// The length in pages of the spans that small blocks are cut from.
const SMALL_SPAN: usize = 4;

/// The number of pages in a contiguous run of the snapshot's arenas.
const ARENA_RUN: usize = 128;
/// The number of runs that are tracked; together 32 MiB of small objects.
const ARENA_RUNS: usize = 64;

/// The minimum amount of memory requested from the host.
const CHUNK: usize = 4 * WASM_PAGE;
/// Fresh memory reserved in the snapshot, so that typical requests need not grow
/// the memory. It is zeroed: it adds no bytes to the module, and it uses no
/// memory until it is written to.
const READY: usize = 16 * WASM_PAGE;

struct Heap {
    /// Free lists, one for each class; a freed block's first word points to the next.
    free_small: [*mut u8; SMALL_CLASSES],
    free_spans: [*mut u8; SPAN_CLASSES],
    /// The rest of the span that small blocks are cut from.
    small: *mut u8,
    small_left: usize,
    /// The snapshot's arenas (spans of one page), grouped in runs.
    arena_runs: [ArenaRun; ARENA_RUNS],
    arena_run: usize,
    /// Fresh memory, in whole pages.
    next: *mut u8,
    end: *mut u8,
    /// Blocks below this address belong to the snapshot; null during the build.
    sealed: *mut u8,
    /// The number of spans handed out so far.
    spans: usize,
    /// For each page of 4 GiB, the class of the span that starts there. Mostly zeros.
    span_at: [u8; 1 << 20],
}

#[derive(Clone, Copy)]
struct ArenaRun {
    start: *mut u8,
    used: usize,
}

/// The heap. There is one, [`HEAP`], and the guest has one thread.
pub struct PageHeap(UnsafeCell<Heap>);

// SAFETY: the guest has one thread.
unsafe impl Sync for PageHeap {}

impl PageHeap {
    const fn new() -> Self {
        Self(UnsafeCell::new(Heap {
            free_small: [ptr::null_mut(); SMALL_CLASSES],
            free_spans: [ptr::null_mut(); SPAN_CLASSES],
            small: ptr::null_mut(),
            small_left: 0,
            arena_runs: [ArenaRun { start: ptr::null_mut(), used: 0 }; ARENA_RUNS],
            arena_run: 0,
            next: ptr::null_mut(),
            end: ptr::null_mut(),
            sealed: ptr::null_mut(),
            spans: 0,
            span_at: [0; 1 << 20],
        }))
    }

    #[expect(
        clippy::mut_from_ref,
        reason = "there is one thread, and no method calls other code while it borrows the heap"
    )]
    fn heap(&self) -> &mut Heap {
        // SAFETY: for the reason given above, borrows never overlap.
        unsafe { &mut *self.0.get() }
    }

    /// Ends the build; see the module documentation.
    pub fn seal(&self) {
        self.heap().seal();
    }

    /// Writes to every page of the snapshot's arenas without changing its contents.
    /// Requests write to the reference counts of small objects, scattered over half
    /// of these pages. A host that restores written pages by copying them
    /// (PAGEMAP_SCAN) handles a few long runs of them; with many short runs it gives
    /// up and drops all further pages.
    pub fn touch_arenas(&self) {
        for run in &self.heap().arena_runs {
            if run.start.is_null() {
                break;
            }
            for page in 0..run.used {
                // SAFETY: the page belongs to the heap. Volatile, or the compiler removes the write.
                unsafe {
                    let byte = run.start.add(page * PAGE);
                    byte.write_volatile(byte.read_volatile());
                }
            }
        }
    }

    /// The usable size of a block in bytes.
    ///
    /// # Safety
    /// `block` must come from this heap and be in use.
    pub(crate) unsafe fn usable_size(&self, block: *mut u8) -> usize {
        // SAFETY: the caller's contract.
        unsafe { self.heap().class_at(block) }.payload()
    }

    /// The number of spans handed out so far.
    pub fn spans(&self) -> usize {
        self.heap().spans
    }

    /// Allocates a block of at least `payload` bytes; null if memory is exhausted.
    pub(crate) fn allocate(&self, payload: usize) -> *mut u8 {
        match Class::of(payload) {
            Some(Class::Small(class)) => self.heap().small(class),
            Some(Class::Span(class)) => self.heap().span(class),
            None => ptr::null_mut(),
        }
    }

    /// Frees a block. Blocks of the snapshot are left as they are.
    ///
    /// # Safety
    /// `block` must come from this heap and be in use.
    pub(crate) unsafe fn free(&self, block: *mut u8) {
        let heap = self.heap();
        if block < heap.sealed {
            return;
        }
        // SAFETY: the caller's contract.
        let list = match unsafe { heap.class_at(block) } {
            Class::Small(class) => &mut heap.free_small[class],
            Class::Span(class) => &mut heap.free_spans[class],
        };
        // SAFETY: the block is no longer in use, and is longer than a word.
        unsafe { block.cast::<*mut u8>().write(*list) };
        *list = block;
    }

    /// Resizes a block to at least `wanted` bytes, moving it if necessary. If memory
    /// is exhausted, returns null and leaves the block unchanged.
    ///
    /// # Safety
    /// `block` must come from this heap and be in use.
    pub(crate) unsafe fn resize(&self, block: *mut u8, wanted: usize) -> *mut u8 {
        // SAFETY: the caller's contract; `allocate` returns at least `wanted` bytes.
        unsafe {
            let has = self.heap().class_at(block).payload();
            // Moving to a much smaller block is only worth it if that frees pages.
            if wanted <= has && (wanted >= has / 2 || has <= PAGE) {
                return block;
            }
            let moved = self.allocate(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, has.min(wanted));
                self.free(block);
            }
            moved
        }
    }
}

/// Takes the first block of a free list; null if the list is empty.
fn take(list: &mut *mut u8) -> *mut u8 {
    let block = *list;
    if !block.is_null() {
        // SAFETY: the first word of a freed block is its link in the list.
        *list = unsafe { block.cast::<*mut u8>().read() };
    }
    block
}

impl Heap {
    fn small(&mut self, class: usize) -> *mut u8 {
        let freed = take(&mut self.free_small[class]);
        if !freed.is_null() {
            return freed;
        }
        let size = (class + 1) * STEP;
        if self.small_left < size {
            let span = self.span(span_class(SMALL_SPAN));
            if span.is_null() {
                return span;
            }
            (self.small, self.small_left) = (span, SMALL_SPAN * PAGE);
        }
        let block = self.small;
        self.small = block.wrapping_add(size);
        self.small_left -= size;
        // SAFETY: these `size` bytes belong to the heap, and are longer than the header.
        unsafe {
            block.cast::<usize>().write(class);
            block.add(HEADER)
        }
    }

    fn span(&mut self, class: usize) -> *mut u8 {
        self.spans += 1;
        let freed = take(&mut self.free_spans[class]);
        if !freed.is_null() {
            return freed;
        }
        let building = self.sealed.is_null();
        let span = if building && class == 0 { self.arena() } else { self.fresh(span_pages(class)) };
        if !span.is_null() {
            // There are fewer classes than a byte can hold.
            self.span_at[span.addr() / PAGE] = class as u8;
        }
        span
    }

    /// A page for an arena of the snapshot, next to the other arenas.
    fn arena(&mut self) -> *mut u8 {
        let current = self.arena_runs[self.arena_run];
        if current.start.is_null() || current.used == ARENA_RUN {
            let next = self.arena_run + usize::from(!current.start.is_null());
            if next == ARENA_RUNS {
                return self.fresh(1);
            }
            let start = self.fresh(ARENA_RUN);
            if start.is_null() {
                return start;
            }
            self.arena_run = next;
            self.arena_runs[next] = ArenaRun { start, used: 0 };
        }
        let run = &mut self.arena_runs[self.arena_run];
        run.used += 1;
        run.start.wrapping_add((run.used - 1) * PAGE)
    }

    /// Takes `pages` pages that were never used; null if memory is exhausted.
    fn fresh(&mut self, pages: usize) -> *mut u8 {
        let size = pages * PAGE;
        if self.end.addr() - self.next.addr() < size && !self.grow(size) {
            return ptr::null_mut();
        }
        let start = self.next;
        self.next = start.wrapping_add(size);
        start
    }

    /// The class of a block.
    ///
    /// # Safety
    /// `block` must come from this heap and be in use.
    unsafe fn class_at(&self, block: *mut u8) -> Class {
        if block.addr().is_multiple_of(PAGE) {
            return Class::Span(self.span_at[block.addr() / PAGE].into());
        }
        // SAFETY: a small block is preceded by its header.
        Class::Small(unsafe { block.sub(HEADER).cast::<usize>().read() })
    }

    /// Grows the memory by at least `size` bytes; false if that fails.
    fn grow(&mut self, size: usize) -> bool {
        let pages = size.max(CHUNK).div_ceil(WASM_PAGE);
        let before = core::arch::wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return false;
        }
        let start = ptr::with_exposed_provenance_mut::<u8>(before * WASM_PAGE);
        if start != self.end {
            // The C library has grown the memory in between. The rest of the old chunk is lost.
            self.next = start;
        }
        self.end = start.wrapping_add(pages * WASM_PAGE);
        true
    }

    fn seal(&mut self) {
        // Free blocks are zeroed, since zeros take no space in the snapshot, and never reused.
        for class in 0..SMALL_CLASSES {
            clear(&mut self.free_small[class], Class::Small(class).payload());
        }
        for class in 0..SPAN_CLASSES {
            clear(&mut self.free_spans[class], Class::Span(class).payload());
        }
        self.small_left = 0;
        if self.end.addr() - self.next.addr() < READY {
            // If this fails, requests grow the memory themselves.
            self.grow(READY);
        }
        self.sealed = self.next;
    }
}

/// Zeroes all blocks of a free list and empties it.
fn clear(list: &mut *mut u8, payload: usize) {
    loop {
        let block = take(list);
        if block.is_null() {
            return;
        }
        // SAFETY: a freed block has the length of its class, and nothing uses it.
        unsafe { ptr::write_bytes(block, 0, payload) };
    }
}

/// The heap of both QuickJS and Rust.
#[global_allocator]
pub static HEAP: PageHeap = PageHeap::new();

// SAFETY: blocks do not overlap, are aligned to `ALIGN`, and have at least the requested length.
unsafe impl GlobalAlloc for PageHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc(layout) };
        }
        self.allocate(layout.size())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract; the alignment tells which allocator owns the block.
        unsafe { if layout.align() > ALIGN { System.dealloc(block, layout) } else { self.free(block) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() > ALIGN {
                System.realloc(block, layout, size)
            } else {
                self.resize(block, size)
            }
        }
    }
}
