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

/// For what code is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This machine's processor, with all that it can do.
    Host,
    /// Every x86-64 processor.
    X86_64,
    /// Every 64-bit ARM processor.
    Arm64,
    /// Every 32-bit processor, as the engine's portable bytecode.
    Arm,
}

impl Target {
    /// Those that have a name.
    pub const PORTABLE: [Self; 3] = [Self::X86_64, Self::Arm64, Self::Arm];

    /// The portable target that this machine runs, if it is one of them.
    pub const fn of_host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else if cfg!(target_pointer_width = "32") {
            Some(Self::Arm)
        } else {
            None
        }
    }

    /// Its name, as containers' platforms have it.
    pub const fn name(self) -> &'static str {
        match self {
            // There is but one kind of code for 32 bits.
            Self::Host if cfg!(target_pointer_width = "32") => Self::Arm.name(),
            Self::Host => "this machine",
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// The engine's name for it.
    const fn triple(self) -> Option<&'static str> {
        match self {
            // No Cranelift back end there: portable bytecode.
            Self::Host if cfg!(target_pointer_width = "32") => Some("pulley32"),
            Self::Host => None,
            // The C library does not matter to compiled code.
            Self::X86_64 => Some("x86_64-unknown-linux-gnu"),
            Self::Arm64 => Some("aarch64-unknown-linux-gnu"),
            Self::Arm => Some("pulley32"),
        }
    }

    /// Whether its code depends on the most memory of a render.
    pub fn has_32_bits(self) -> bool {
        self.triple() == Some("pulley32")
    }
}

/// The engine's configuration. Everything that is recorded in compiled code
/// depends on nothing but the target (and, with 32 bits, the most memory of a
/// render), so code compiled by one process can be loaded by another.
pub fn config(settings: &Settings, interruption: Interruption, target: Target) -> Result<Config> {
    let mut config = Config::new();
    if let Some(triple) = target.triple() {
        config.target(triple)?;
    }
    config.wasm_backtrace_max_frames(None);
    // It would tell where in the module a trap was, which nobody asks.
    config.generate_address_map(false);
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
    if target.has_32_bits() {
        // No room for guard regions: explicit bounds checks, in memories no larger
        // than they may grow.
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

/// Makes the engine that runs code on this machine.
pub fn engine(settings: &Settings, interruption: Interruption) -> Result<Engine> {
    Engine::new(&config(settings, interruption, Target::Host)?)
}

/// The back end's name, as it is told to the site in `SSR_BACKEND`.
pub fn backend(engine: &Engine) -> &'static str {
    if engine.is_pulley() { "pulley" } else { "cranelift" }
}
