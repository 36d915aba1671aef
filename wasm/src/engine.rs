//! The wasmtime engine: one configuration for compiling and for running.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rustix::mm::MprotectFlags;
use wasmtime::{
    Config, CustomCodeMemory, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result,
};

use crate::carried::text::SharedText;
use crate::interrupt::Interruption;
use crate::limits::{DEFAULT_RENDER_MEMORY_LIMIT, Limits};
use crate::target::Target;

/// Stack for WebAssembly frames, in bytes. It is more than what the JavaScript engine's own
/// limit, on the stack in its memory, lets recursion use. Pages that are not touched cost
/// nothing.
pub const WASM_STACK: usize = 16 << 20;

/// Memory that a finished render leaves mapped for the next one, in bytes: reset page
/// by page, which is cheaper than unmapping it and faulting it in again.
const KEEP_RESIDENT: usize = 4 << 20;

/// Frames of a command's backtrace.
const BACKTRACE: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// Instances, tables and memories of one component, at most. A program of several languages has
/// some ten.
const PARTS_OF_COMPONENT: u32 = 32;
const MEMORIES_OF_COMPONENT: u32 = 4;

/// Where instances are.
#[derive(Clone, Copy)]
enum Allocation {
    /// In a pool, with as many slots as renders may run at the same time.
    Pool { slots: usize },
    /// The same, for components.
    ComponentPool { slots: usize },
    /// Allocated for the one instance that there is.
    OnDemand,
}

/// What code is compiled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A core module.
    Module,
    /// A component, whose calls may run concurrently. Core modules do without what that costs.
    Component,
}

/// The engine that compiles modules and runs renders of them on this machine.
pub fn for_rendering(interruption: Interruption, limits: &Limits) -> Result<Engine> {
    Engine::new(&rendering(interruption, limits)?)
}

/// The same without a compiler, for modules that have been compiled, and whose machine code is
/// `text`, or their own.
pub fn for_compiled(interruption: Interruption, limits: &Limits, text: Option<SharedText>) -> Result<Engine> {
    let mut config = rendering(interruption, limits)?;
    config.enable_compiler(false);
    config.with_custom_code_memory(text.map(|text| Arc::new(text) as Arc<dyn CustomCodeMemory>));
    Engine::new(&config)
}

fn rendering(interruption: Interruption, limits: &Limits) -> Result<Config> {
    let pool = Allocation::Pool { slots: limits.render_threads };
    config(Target::Host, Form::Module, interruption, limits.render_memory_limit, pool)
}

/// The engine that runs programs and components that answer requests.
pub fn for_handlers(form: Form, interruption: Interruption, limits: &Limits) -> Result<Engine> {
    let pool = Allocation::ComponentPool { slots: limits.render_threads };
    let config = config(Target::Host, form, interruption, limits.render_memory_limit, pool)?;
    Engine::new(&with_wasi(config))
}

/// The engine that runs one command.
pub fn for_commands(form: Form, interruption: Interruption) -> Result<Engine> {
    let config = config(Target::Host, form, interruption, DEFAULT_RENDER_MEMORY_LIMIT, Allocation::OnDemand)?;
    Engine::new(&with_wasi(config))
}

/// For programs that are no sites.
fn with_wasi(mut config: Config) -> Config {
    config.wasm_backtrace_max_frames(Some(BACKTRACE));
    config.with_custom_code_memory(Some(Arc::new(PrivateMapping)));
    config
}

/// Makes code executable that is in a private mapping of ours: wasmtime changes only its own
/// mappings, and maps components only by paths.
struct PrivateMapping;

impl CustomCodeMemory for PrivateMapping {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        protect(start, length, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        protect(start, length, MprotectFlags::READ | MprotectFlags::WRITE)
    }
}

fn protect(start: *const u8, length: usize, flags: MprotectFlags) -> Result<()> {
    // SAFETY: wasmtime passes the text of a module's code, whose whole pages belong to it.
    unsafe { rustix::mm::mprotect(start.cast_mut().cast(), length, flags)? };
    Ok(())
}

/// An engine that compiles for `target`. `render_memory_limit` matters to 32-bit
/// targets only.
pub fn for_compiling(
    target: Target,
    form: Form,
    interruption: Interruption,
    render_memory_limit: usize,
) -> Result<Engine> {
    Engine::new(&config(target, form, interruption, render_memory_limit, Allocation::Pool { slots: 1 })?)
}

/// What is recorded in compiled code depends on the target, the form and the interruption alone
/// (on 32-bit targets also on the memory limit), so that one process can load what
/// another has compiled.
fn config(
    target: Target,
    form: Form,
    interruption: Interruption,
    render_memory_limit: usize,
    allocation: Allocation,
) -> Result<Config> {
    let mut config = Config::new();
    if let Some(triple) = target.triple() {
        config.target(triple)?;
    }
    for feature in target.features() {
        // SAFETY: wasmtime notes it in the code, and loads that only where the processor has it.
        unsafe { config.cranelift_flag_enable(feature) };
    }
    config.wasm_backtrace_max_frames(None);
    // Only needed to tell where in the module a trap was.
    config.generate_address_map(false);
    config.max_wasm_stack(WASM_STACK);
    // wasmtime refuses the other one if it is larger.
    config.async_stack_size(WASM_STACK);
    config.concurrency_support(form == Form::Component);
    config.memory_init_cow(true);
    config.epoch_interruption(interruption == Interruption::Epoch);
    if target.is_32_bit() {
        // There is no address space for guard regions: explicit bounds checks, and
        // reservations no larger than a memory may grow.
        config.signals_based_traps(false);
        config.memory_reservation(u64::try_from(render_memory_limit).unwrap_or(u64::MAX));
        config.memory_guard_size(0);
    }
    config.allocation_strategy(match allocation {
        Allocation::Pool { slots } => pool(slots, 1, 1, render_memory_limit),
        Allocation::ComponentPool { slots } => {
            pool(slots, PARTS_OF_COMPONENT, MEMORIES_OF_COMPONENT, render_memory_limit)
        }
        Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
    });
    Ok(config)
}

/// A pool for as many programs at the same time as there are `slots`, each of so many core
/// instances and memories. wasmtime's default one reserves terabytes, more than the 39-bit
/// address space of a Raspberry Pi.
fn pool(slots: usize, parts: u32, memories: u32, memory_limit: usize) -> InstanceAllocationStrategy {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let of_all = |of_one: u32| slots.saturating_mul(of_one);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(of_all(parts))
        .total_memories(of_all(memories))
        .total_tables(of_all(parts))
        .max_unused_warm_slots(of_all(memories))
        .max_memory_size(memory_limit)
        .linear_memory_keep_resident(if keeps_pages() { KEEP_RESIDENT } else { 0 })
        .total_component_instances(if parts > 1 { slots } else { 0 })
        .max_core_instances_per_component(parts)
        .max_memories_per_component(memories)
        .max_tables_per_component(parts)
        // Fibers, which only components need.
        .total_stacks(if parts > 1 { slots } else { 0 })
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
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
