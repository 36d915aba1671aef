//! What a site adds to its engine: the memory it begins with, in a file that all its instances
//! map.
//!
//! ```text
//! MAGIC | start | length | least pages | most pages, 8 bytes each | zeros up to a page of memory
//! | the memory's bytes from `start`, `length` of them: whole pages
//! ```
//! Numbers are little-endian; without a limit, most pages are [`u64::MAX`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::carried::parts::Parts;
use crate::carried::sparse::Sparse;

const MAGIC: &[u8; 8] = b"ssrimag1";
const NUMBERS: usize = 4;
const HEADER: usize = MAGIC.len() + NUMBERS * 8;

/// Bytes of a page of WebAssembly's memory.
const WASM_PAGE: usize = 64 << 10;

/// A site's memory in a file that nobody can change.
#[derive(Debug)]
pub struct SiteImage {
    pub(super) file: File,
    /// Where in the file its bytes are, where in the memory they begin, and how many they are:
    /// multiples of this machine's pages.
    pub(super) offset: u64,
    pub(super) start: usize,
    pub(super) length: usize,
    /// The memory's size at first, and its largest, in bytes.
    pub(super) initial: usize,
    pub(super) largest: usize,
}

/// The file of a site's memory. `None` if that cannot be known before the site runs, or is mostly
/// empty.
pub fn encode(site: &Parts<'_>) -> Option<Sparse<'static>> {
    let page = rustix::param::page_size();
    let (start, image) = site.image(page as u64)?;
    let (least, most) = site.limits();
    // More than this machine has addresses for: let the compiler say so.
    usize::try_from(least).ok()?.checked_mul(WASM_PAGE)?;
    let mut header = MAGIC.to_vec();
    for number in [start, image.len() as u64, least, most.unwrap_or(u64::MAX)] {
        header.extend(number.to_le_bytes());
    }
    let image_at = header.len().next_multiple_of(page) as u64;
    let mut file = Sparse::from(header);
    file.add_blocks(image_at, &image);
    Some(file)
}

impl SiteImage {
    /// Reads what [`encode`] has written. Nobody may be able to write to the file.
    ///
    /// # Errors
    /// If it cannot be read, or is no such file, or one for a machine with other pages.
    pub fn open(file: File) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no file of a site's memory");
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let (magic, numbers) = header.split_at(MAGIC.len());
        let mut numbers = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut number = || numbers.next().ok_or_else(wrong);
        let bytes = |number: u64| usize::try_from(number).map_err(|_| wrong());
        let (start, length) = (bytes(number()?)?, bytes(number()?)?);
        let pages = |number: u64| bytes(number)?.checked_mul(WASM_PAGE).ok_or_else(wrong);
        let initial = pages(number()?)?;
        // What is beyond this machine's addresses cannot be reached anyhow.
        let largest = pages(number()?).unwrap_or(usize::MAX);
        let page = rustix::param::page_size();
        let offset = HEADER.next_multiple_of(page) as u64;
        let fits = start.checked_add(length).is_some_and(|end| end <= initial)
            && offset + length as u64 <= file.metadata()?.len();
        if magic != MAGIC || !start.is_multiple_of(page) || !length.is_multiple_of(page) || !fits {
            return Err(wrong());
        }
        Ok(Self { file, offset, start, length, initial, largest })
    }
}
