//! Files with holes: an artifact's machine code is zeros, which need no room.

use std::io::{self, Seek, SeekFrom, Write};

/// What is looked at as a whole, in bytes: a page of memory, or a block of a file system.
const BLOCK: usize = 4 << 10;

/// Writes bytes to a new file and leaves out blocks of zeros. What follows must be written, too:
/// a hole at the end of a file is none.
pub fn write_sparse(to: &mut (impl Write + Seek), bytes: &[u8]) -> io::Result<()> {
    let mut hole = 0;
    for block in bytes.chunks(BLOCK) {
        if is_hole(block) {
            hole += block.len() as i64;
            continue;
        }
        if hole > 0 {
            to.seek(SeekFrom::Current(hole))?;
            hole = 0;
        }
        to.write_all(block)?;
    }
    // The last byte says how long the file is.
    if hole > 0 {
        to.seek(SeekFrom::Current(hole - 1))?;
        to.write_all(&[0])?;
    }
    Ok(())
}

/// How many bytes [`write_sparse`] writes.
pub fn sparse_size(bytes: &[u8]) -> u64 {
    bytes.chunks(BLOCK).filter(|block| !is_hole(block)).map(|block| block.len() as u64).sum()
}

fn is_hole(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}
