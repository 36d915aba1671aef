//! What one call may keep in memory: the guest's linear memory, and what the host keeps
//! for it.

use wasmtime::{ResourceLimiter, Result};

use super::error::{RenderError, Stop};

/// Most elements of a table.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// One limit for linear memory and the host's bytes together. The host's bytes are the
/// request, the response's headers, its body until the call has returned, and the parts
/// of a streamed response that nobody has taken yet.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    linear: usize,
    host: usize,
}

impl MemoryBudget {
    /// For a call that may use `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, linear: 0, host: 0 }
    }

    fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.linear).saturating_sub(self.host)
    }

    // Ends the render: a guest that is told that memory is short would only run its
    // out-of-memory paths and hide the cause.
    fn exhausted(&self) -> wasmtime::Error {
        Stop::with(RenderError::OutOfMemory(self.limit))
    }

    /// To be called before the host keeps `bytes` more.
    pub fn keep(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.remaining() {
            return Err(self.exhausted());
        }
        self.host += bytes;
        Ok(())
    }

    /// To be called when the host no longer has `bytes` that it kept.
    pub fn release(&mut self, bytes: usize) {
        self.host -= bytes;
    }

    /// Appends to a buffer, all of whose capacity counts.
    pub fn append(&mut self, buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
        let needed = buffer.len().saturating_add(bytes.len());
        let capacity = buffer.capacity();
        if needed > capacity {
            // Twice as much, so that many small writes do not copy everything each time.
            let twice = capacity.saturating_add(capacity.min(self.remaining()));
            let grown = needed.max(twice);
            self.keep(grown - capacity)?;
            buffer.reserve_exact(grown - buffer.len());
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let grown = desired.saturating_sub(current);
        if grown > self.remaining() {
            return Err(self.exhausted());
        }
        self.linear += grown;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_memory_and_the_hosts_bytes_share_one_limit() {
        let mut budget = MemoryBudget::new(100);
        assert!(budget.memory_growing(0, 60, None).unwrap());
        budget.keep(40).unwrap();
        assert!(budget.keep(1).is_err());
        assert!(budget.memory_growing(60, 61, None).is_err());
        budget.release(10);
        assert!(budget.memory_growing(60, 70, None).unwrap());
        assert!(budget.keep(1).is_err());
    }

    #[test]
    fn a_buffer_grows_to_the_limit_and_no_further() {
        let mut budget = MemoryBudget::new(1000);
        let mut buffer = Vec::new();
        for _ in 0..100 {
            budget.append(&mut buffer, &[b'x'; 10]).unwrap();
            assert!(buffer.capacity() <= 1000);
        }
        assert!(budget.append(&mut buffer, b"x").is_err());
        assert_eq!(buffer.len(), 1000);
    }
}
