//! What renders may use.

use std::time::Duration;

/// The default of [`Limits::render_memory_limit`], in bytes.
pub const DEFAULT_RENDER_MEMORY_LIMIT: usize = 128 << 20;

/// The largest memory of 32-bit addresses, in bytes, or most of what this machine's reach.
const LARGEST_MEMORY: usize = (1_u64 << if cfg!(target_pointer_width = "64") { 32 } else { 30 }) as usize;

/// Limits of one site's renders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent renders; as many threads and memories are kept.
    pub render_threads: usize,
    /// Longest time for one render, including the time that a slow client takes to
    /// read a streamed response.
    pub render_timeout: Duration,
    /// Most memory of one render, in bytes: its linear memory and what the host keeps for
    /// it, which is the request, the response's headers, the body until the render ends,
    /// and those parts of a streamed response that wait for the client.
    pub render_memory_limit: usize,
    /// Requests that may wait for a render thread.
    pub render_queue: usize,
    /// Longest wait for a render to begin.
    pub queue_timeout: Duration,
}

impl Limits {
    /// Checks that a render may have as many bytes of memory as its module begins with.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn check_memory(&self, needed: u64) -> Result<(), String> {
        if needed <= self.render_memory_limit as u64 {
            return Ok(());
        }
        Err(format!(
            "it needs {} MiB of memory to start with, but SSR_RENDER_MEMORY_LIMIT allows {} MiB; raise it",
            needed.div_ceil(1 << 20),
            self.render_memory_limit >> 20
        ))
    }

    /// Why a module was not loaded, if that is because a render may have less memory than the module
    /// begins with, which wasmtime's pool refuses in words of its own. `pages` loads it with these
    /// ample limits, and tells how many pages of 64 KiB its largest memory has.
    pub fn too_small_for(
        &self,
        pages: impl FnOnce(&Self) -> wasmtime::Result<Option<u64>>,
    ) -> Option<String> {
        let ample = Self { render_memory_limit: LARGEST_MEMORY, render_threads: 1, ..self.clone() };
        let needed = pages(&ample).ok()??.saturating_mul(64 << 10);
        self.check_memory(needed).err()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            render_threads: std::thread::available_parallelism().map_or(1, usize::from),
            render_timeout: Duration::from_secs(10),
            render_memory_limit: DEFAULT_RENDER_MEMORY_LIMIT,
            render_queue: 64,
            queue_timeout: Duration::from_secs(10),
        }
    }
}
