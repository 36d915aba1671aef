//! The wasmtime engine: one configuration for compiling and for running.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use crate::interrupt::Interruption;
use crate::limits::Limits;
use crate::target::Target;

/// Stack for WebAssembly frames, in bytes. It is more than what the JavaScript engine's own
/// limit, on the stack in its memory, lets recursion use. Pages that are not touched cost
/// nothing.
pub const WASM_STACK: usize = 16 << 20;

/// Memory that a finished render leaves mapped for the next one, in bytes: reset page
/// by page, which is cheaper than unmapping it and faulting it in again.
const KEEP_RESIDENT: usize = 4 << 20;

/// The engine that runs renders on this machine.
pub fn for_rendering(interruption: Interruption, limits: &Limits) -> Result<Engine> {
    Engine::new(&config(Target::Host, interruption, limits.render_memory_limit, limits.render_threads)?)
}

/// An engine that compiles for `target`. `render_memory_limit` matters to 32-bit
/// targets only.
pub fn for_compiling(
    target: Target,
    interruption: Interruption,
    render_memory_limit: usize,
) -> Result<Engine> {
    Engine::new(&config(target, interruption, render_memory_limit, 1)?)
}

/// What is recorded in compiled code depends on the target and the interruption alone
/// (on 32-bit targets also on the memory limit), so that one process can load what
/// another has compiled. `slots` are the renders that may run at the same time.
fn config(
    target: Target,
    interruption: Interruption,
    render_memory_limit: usize,
    slots: usize,
) -> Result<Config> {
    let mut config = Config::new();
    if let Some(triple) = target.triple() {
        config.target(triple)?;
    }
    config.wasm_backtrace_max_frames(None);
    // Only needed to tell where in the module a trap was.
    config.generate_address_map(false);
    config.max_wasm_stack(WASM_STACK);
    // wasmtime refuses the other one if it is larger.
    config.async_stack_size(WASM_STACK);
    config.memory_init_cow(true);
    config.epoch_interruption(interruption == Interruption::Epoch);
    // One slot for each concurrent render: wasmtime's default pool reserves terabytes,
    // more than the 39-bit address space of a Raspberry Pi.
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .max_unused_warm_slots(slots)
        .max_memory_size(render_memory_limit)
        .linear_memory_keep_resident(if keeps_pages() { KEEP_RESIDENT } else { 0 })
        // Those of fibers, which nothing here uses.
        .total_stacks(0)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    if target.is_32_bit() {
        // There is no address space for guard regions: explicit bounds checks, and
        // reservations no larger than a memory may grow.
        config.signals_based_traps(false);
        config.memory_reservation(u64::try_from(render_memory_limit).unwrap_or(u64::MAX));
        config.memory_guard_size(0);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

/// Whether the kernel can tell which pages a render wrote to (`PAGEMAP_SCAN`, Linux
/// 6.7), so that only those are restored and kept. On older kernels the memory of a
/// finished render is unmapped as a whole.
pub fn keeps_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 7)
}

/// The name of the back end, as the site sees it in `SSR_BACKEND`.
pub fn backend(engine: &Engine) -> &'static str {
    if engine.is_pulley() { "pulley" } else { "cranelift" }
}
