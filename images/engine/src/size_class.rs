//! The size classes of the guest's heap: which kind of block holds a payload.

/// The host's page size, the unit in which it restores memory.
pub const PAGE: usize = 4 << 10;

/// The length of the header before each small block, which holds its class. It
/// also keeps small blocks off page boundaries, which is how they are told apart
/// from spans.
pub const HEADER: usize = 8;
/// The length of a small block, header included, is a multiple of this.
pub const STEP: usize = 64;
/// The largest small block, header included. Anything larger is a span of whole pages.
const LARGEST_SMALL: usize = 2048;
/// The number of classes of small blocks.
pub const SMALL_CLASSES: usize = LARGEST_SMALL / STEP;
/// The number of span lengths: 1 to 8 pages, then four for each doubling, up to 4 GiB.
pub const SPAN_CLASSES: usize = 8 + 4 * 17;

/// The class of the shortest span that has at least `pages` pages.
pub fn span_class(pages: usize) -> usize {
    if pages <= 8 {
        return pages - 1;
    }
    let doubling = ((pages - 1) / 8).ilog2() as usize;
    let base = 8 << doubling;
    8 + 4 * doubling + (pages - base).div_ceil(base / 4) - 1
}

/// The number of pages in a span of this class.
pub fn span_pages(class: usize) -> usize {
    if class < 8 {
        return class + 1;
    }
    let (doubling, quarter) = ((class - 8) / 4, (class - 8) % 4);
    let base = 8 << doubling;
    base + base / 4 * (quarter + 1)
}

/// The kind of a block, and its class among blocks of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A small block with a header.
    Small(usize),
    /// A span of whole pages.
    Span(usize),
}

impl Class {
    /// The class of a block that holds `payload` bytes; `None` if no class is large enough.
    pub fn of(payload: usize) -> Option<Self> {
        if payload <= LARGEST_SMALL - HEADER {
            return Some(Self::Small((payload + HEADER).div_ceil(STEP) - 1));
        }
        let class = span_class(payload.div_ceil(PAGE));
        (class < SPAN_CLASSES).then_some(Self::Span(class))
    }

    /// How many bytes a block of this class holds.
    pub fn payload(self) -> usize {
        match self {
            Self::Small(class) => (class + 1) * STEP - HEADER,
            Self::Span(class) => span_pages(class) * PAGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_class_is_the_shortest_that_holds_its_pages() {
        for pages in 1..5000 {
            let class = span_class(pages);
            assert!(span_pages(class) >= pages, "{pages} pages");
            assert!(class == 0 || span_pages(class - 1) < pages, "{pages} pages");
        }
    }

    #[test]
    fn every_block_holds_its_payload_and_small_ones_end_at_2_kib() {
        for payload in 0..100_000 {
            let class = Class::of(payload).unwrap();
            assert!(class.payload() >= payload, "{payload} bytes");
        }
        assert_eq!(Class::of(2040), Some(Class::Small(SMALL_CLASSES - 1)));
        assert_eq!(Class::of(2041), Some(Class::Span(0)));
    }
}
