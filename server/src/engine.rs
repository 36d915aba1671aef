//! The WebAssembly engine: one configuration for compiling and for running.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use crate::settings::Settings;
use crate::time_limit::Interruption;

/// Stack for WebAssembly frames. JavaScript recursion that needs more is one
/// failed request; React and Preact trees of a few thousand levels fit.
pub const WASM_STACK: usize = 1 << 20;

/// Memory that a finished render leaves in place for the next one, reset page by
/// page instead of being given back and faulted in again.
const KEEP_RESIDENT: usize = 4 << 20;

/// The engine's configuration. Everything that is recorded in compiled code
/// depends on nothing but the host's word size, so code compiled by one process
/// can be loaded by another.
pub fn config(settings: &Settings, interruption: Interruption) -> Result<Config> {
    let mut config = Config::new();
    config.wasm_backtrace_max_frames(None);
    config.max_wasm_stack(WASM_STACK);
    config.memory_init_cow(true);
    config.epoch_interruption(interruption == Interruption::Epoch);
    // A slot for each render that may run: the default pool reserves terabytes,
    // which a Raspberry Pi's 39-bit address space does not have.
    let slots = u32::try_from(settings.render_threads).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .max_unused_warm_slots(slots)
        .max_memory_size(settings.render_memory)
        .linear_memory_keep_resident(if keeps_pages() { KEEP_RESIDENT } else { 0 })
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    if cfg!(target_pointer_width = "32") {
        // No Cranelift back end and no room for guard regions: portable bytecode
        // with explicit bounds checks, in memories no larger than they may grow.
        config.target("pulley32")?;
        config.signals_based_traps(false);
        config.memory_reservation(u64::try_from(settings.render_memory).unwrap_or(u64::MAX));
        config.memory_guard_size(0);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

/// Whether the kernel can tell which pages a render wrote to (`PAGEMAP_SCAN`,
/// since Linux 6.7), so that just these are restored and kept. Elsewhere a
/// finished render's memory is given back whole.
pub fn keeps_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 7)
}

/// Makes the engine.
pub fn engine(settings: &Settings, interruption: Interruption) -> Result<Engine> {
    Engine::new(&config(settings, interruption)?)
}

/// The back end's name, as it is told to the site in `SSR_BACKEND`.
pub fn backend(engine: &Engine) -> &'static str {
    if engine.is_pulley() { "pulley" } else { "cranelift" }
}
