//! The guest's memory, made for its two lives.
//!
//! While the site is built, blocks come and go and leave holes all over the
//! heap. A request that allocated from those holes, or gave snapshot blocks
//! back, would write to pages everywhere, and the host has to restore every page
//! that a request wrote to. So the build ends with [`PageHeap::seal`]: from then
//! on what belongs to the snapshot is never reused, and requests allocate side
//! by side from fresh memory behind it.
//!
//! QuickJS cuts objects and strings from 4 KiB arenas of its own, one for each
//! size; here are those arenas, aligned to the host's pages, and larger blocks.
//! Freed blocks wait in a list for each size and are never merged: a request is
//! short, and its memory limit bounds what it can waste.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

/// The host's pages, the unit of what it restores.
const PAGE: usize = 4 << 10;
const WASM_PAGE: usize = 64 << 10;

/// Before each small block: its class. It keeps small blocks off page
/// boundaries, by which they are told from spans.
const HEADER: usize = 8;
/// The alignment of blocks. What needs more (nothing in QuickJS does) goes to
/// the C library.
const ALIGN: usize = 8;
/// Small blocks, header included, are multiples of this.
const STEP: usize = 64;
/// What is larger is a span of whole pages.
const LARGEST_SMALL: usize = 2048;
const SMALL_CLASSES: usize = LARGEST_SMALL / STEP;
/// Span lengths: 1 to 8 pages, then four for each doubling, up to 4 GiB.
const SPAN_CLASSES: usize = 8 + 4 * 17;
/// Small blocks are cut from spans of this length.
const SMALL_SPAN: usize = 4;

/// Pages of the snapshot's arenas that lie side by side.
const ARENA_RUN: usize = 128;
/// How many such runs are kept track of; 32 MiB of small objects.
const ARENA_RUNS: usize = 64;

/// How much is asked of the host at once.
const CHUNK: usize = 4 * WASM_PAGE;
/// Fresh memory that a snapshot holds ready, so that the usual request need not
/// ask. It is all zeros: no bytes in the module, and no memory before it is used.
const READY: usize = 16 * WASM_PAGE;

fn span_class(pages: usize) -> usize {
    if pages <= 8 {
        return pages - 1;
    }
    let doubling = ((pages - 1) / 8).ilog2() as usize;
    let base = 8 << doubling;
    8 + 4 * doubling + (pages - base).div_ceil(base / 4) - 1
}

fn span_pages(class: usize) -> usize {
    if class < 8 {
        return class + 1;
    }
    let (doubling, quarter) = ((class - 8) / 4, (class - 8) % 4);
    let base = 8 << doubling;
    base + base / 4 * (quarter + 1)
}

/// Which kind of block a payload of so many bytes needs.
#[derive(Clone, Copy)]
enum Class {
    Small(usize),
    Span(usize),
}

impl Class {
    fn of(payload: usize) -> Option<Self> {
        if payload <= LARGEST_SMALL - HEADER {
            return Some(Self::Small((payload + HEADER).div_ceil(STEP) - 1));
        }
        let class = span_class(payload.div_ceil(PAGE));
        (class < SPAN_CLASSES).then_some(Self::Span(class))
    }

    fn payload(self) -> usize {
        match self {
            Self::Small(class) => (class + 1) * STEP - HEADER,
            Self::Span(class) => span_pages(class) * PAGE,
        }
    }
}

struct Heap {
    /// Freed blocks of each class; the first word of one points to the next.
    free_small: [*mut u8; SMALL_CLASSES],
    free_spans: [*mut u8; SPAN_CLASSES],
    /// What is left of the span that small blocks are cut from.
    small: *mut u8,
    small_left: usize,
    /// The snapshot's arenas (spans of one page), in runs.
    arena_runs: [ArenaRun; ARENA_RUNS],
    arena_run: usize,
    /// Fresh memory, whole pages.
    next: *mut u8,
    end: *mut u8,
    /// Blocks below belong to the snapshot; null during the build.
    sealed: *mut u8,
    /// Spans handed out so far.
    spans: usize,
    /// The class of the span that begins at each page of 4 GiB. Zeros, all but a few.
    span_at: [u8; 1 << 20],
}

#[derive(Clone, Copy)]
struct ArenaRun {
    start: *mut u8,
    used: usize,
}

/// The heap, of which there is one. WebAssembly here has one thread.
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
        reason = "there is one thread, and no method here calls out while it borrows"
    )]
    fn heap(&self) -> &mut Heap {
        // SAFETY: see the reason above.
        unsafe { &mut *self.0.get() }
    }

    /// Ends the build: see the module's text.
    pub fn seal(&self) {
        self.heap().seal();
    }

    /// Writes to every page of the snapshot's arenas, without changing anything.
    /// Small objects' reference counts are what requests write to, here and there
    /// on half of these pages. A host that restores written pages by copying them
    /// (PAGEMAP_SCAN) can do so with few long runs, and gives up, dropping all
    /// further pages, where there are many short ones.
    pub fn touch_arenas(&self) {
        for run in &self.heap().arena_runs {
            if run.start.is_null() {
                break;
            }
            for page in 0..run.used {
                // SAFETY: the page is ours. Volatile, or the compiler would leave it out.
                unsafe {
                    let byte = run.start.add(page * PAGE);
                    byte.write_volatile(byte.read_volatile());
                }
            }
        }
    }

    /// How many bytes of a block can be used.
    ///
    /// # Safety
    /// `block` is one of ours, and in use.
    pub(crate) unsafe fn usable_size(&self, block: *mut u8) -> usize {
        // SAFETY: by the contract.
        unsafe { self.heap().class_at(block) }.payload()
    }

    /// How many spans have been handed out.
    pub fn spans(&self) -> usize {
        self.heap().spans
    }

    /// Memory for so many bytes; null if there is none.
    pub(crate) fn allocate(&self, payload: usize) -> *mut u8 {
        match Class::of(payload) {
            Some(Class::Small(class)) => self.heap().small(class),
            Some(Class::Span(class)) => self.heap().span(class),
            None => ptr::null_mut(),
        }
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` is one of ours, and in use.
    pub(crate) unsafe fn free(&self, block: *mut u8) {
        let heap = self.heap();
        if block < heap.sealed {
            return;
        }
        // SAFETY: by the contract.
        let list = match unsafe { heap.class_at(block) } {
            Class::Small(class) => &mut heap.free_small[class],
            Class::Span(class) => &mut heap.free_spans[class],
        };
        // SAFETY: the block is free now, and longer than a word.
        unsafe { block.cast::<*mut u8>().write(*list) };
        *list = block;
    }

    /// Moves a block, if it must, to where it can have the wanted size; null, and the
    /// block as it was, if there is no memory.
    ///
    /// # Safety
    /// `block` is one of ours, and in use.
    pub(crate) unsafe fn resize(&self, block: *mut u8, wanted: usize) -> *mut u8 {
        // SAFETY: by the contract, and what `allocate` gives is as long as asked for.
        unsafe {
            let has = self.heap().class_at(block).payload();
            // Moving to a far smaller block pays only where that frees pages.
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

/// Takes the first block of a list of free ones; null if there is none.
fn take(list: &mut *mut u8) -> *mut u8 {
    let block = *list;
    if !block.is_null() {
        // SAFETY: a freed block's first word is the list's link.
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
        // SAFETY: these `size` bytes are ours, and longer than the header.
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
            // Fewer classes than a byte holds.
            self.span_at[span.addr() / PAGE] = class as u8;
        }
        span
    }

    /// A page for an arena of the snapshot, beside the others.
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

    /// So many pages that have never been used; null if there are none.
    fn fresh(&mut self, pages: usize) -> *mut u8 {
        let size = pages * PAGE;
        if self.end.addr() - self.next.addr() < size && !self.grow(size) {
            return ptr::null_mut();
        }
        let start = self.next;
        self.next = start.wrapping_add(size);
        start
    }

    /// # Safety
    /// `block` is one of ours, and in use.
    unsafe fn class_at(&self, block: *mut u8) -> Class {
        if block.addr().is_multiple_of(PAGE) {
            return Class::Span(self.span_at[block.addr() / PAGE].into());
        }
        // SAFETY: a small block has its header before it.
        Class::Small(unsafe { block.sub(HEADER).cast::<usize>().read() })
    }

    /// Gets fresh memory for at least `size` bytes; false if there is none.
    fn grow(&mut self, size: usize) -> bool {
        let pages = size.max(CHUNK).div_ceil(WASM_PAGE);
        let before = core::arch::wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return false;
        }
        let start = ptr::with_exposed_provenance_mut::<u8>(before * WASM_PAGE);
        if start != self.end {
            // The C library has grown the memory in between; what was left is given up.
            self.next = start;
        }
        self.end = start.wrapping_add(pages * WASM_PAGE);
        true
    }

    fn seal(&mut self) {
        // What is free becomes zeros, which cost nothing in the snapshot, and is forgotten.
        for class in 0..SMALL_CLASSES {
            clear(&mut self.free_small[class], Class::Small(class).payload());
        }
        for class in 0..SPAN_CLASSES {
            clear(&mut self.free_spans[class], Class::Span(class).payload());
        }
        self.small_left = 0;
        if self.end.addr() - self.next.addr() < READY {
            // Without it requests ask for memory themselves.
            self.grow(READY);
        }
        self.sealed = self.next;
    }
}

fn clear(list: &mut *mut u8, payload: usize) {
    loop {
        let block = take(list);
        if block.is_null() {
            return;
        }
        // SAFETY: a freed block is as long as its class says, and nobody's.
        unsafe { ptr::write_bytes(block, 0, payload) };
    }
}

/// The heap, for QuickJS and for Rust alike.
#[global_allocator]
pub static HEAP: PageHeap = PageHeap::new();

// SAFETY: blocks are distinct, aligned to `ALIGN`, and at least as long as asked for.
unsafe impl GlobalAlloc for PageHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc(layout) };
        }
        self.allocate(layout.size())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract; the layout tells whose block it is.
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
