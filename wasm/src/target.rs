//! The machines that code is compiled for.

/// What code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This machine's processor, with every instruction it has.
    Host,
    /// Any x86-64 processor.
    X86_64,
    /// An x86-64 processor of the level v3 (Haswell of 2013, Zen, and later).
    X86_64V3,
    /// Any 64-bit ARM processor.
    Arm64,
    /// Any 32-bit processor, as wasmtime's portable bytecode (Pulley).
    Arm,
}

impl Target {
    /// The targets whose code other machines can run.
    pub const PORTABLE: [Self; 3] = [Self::X86_64, Self::Arm64, Self::Arm];

    /// Those that this program compiles for. On a 32-bit board it has no code for other processors,
    /// which would be half of its compiler.
    pub const fn compiled() -> &'static [Self] {
        match cfg!(target_pointer_width = "32") {
            true => &[Self::Arm],
            false => &Self::PORTABLE,
        }
    }

    /// The portable target that this machine runs, if any.
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

    /// The targets of the engines in programs for x86-64, and for 64-bit ARM, best first.
    pub const CARRIED_X86_64: &[Self] = &[Self::X86_64V3, Self::X86_64];
    /// See [`Self::CARRIED_X86_64`].
    pub const CARRIED_ARM64: &[Self] = &[Self::Arm64];

    /// The targets of the engines that this machine runs, best first.
    pub fn carried() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        if is_v3() {
            return Self::CARRIED_X86_64;
        }
        match Self::of_host() {
            Some(Self::X86_64) => &[Self::X86_64],
            Some(Self::Arm64) => Self::CARRIED_ARM64,
            _ => &[],
        }
    }

    /// Cranelift's names of the instructions that it may use besides the ones that every processor
    /// of the kind has (x86-64 psABI, table 3.1).
    pub(crate) const fn features(self) -> &'static [&'static str] {
        match self {
            Self::X86_64V3 => &[
                "has_cmpxchg16b",
                "has_sse3",
                "has_ssse3",
                "has_sse41",
                "has_sse42",
                "has_popcnt",
                "has_avx",
                "has_avx2",
                "has_fma",
                "has_bmi1",
                "has_bmi2",
                "has_lzcnt",
            ],
            _ => &[],
        }
    }

    /// The name people use, which is that of the container platform.
    pub const fn name(self) -> &'static str {
        match self {
            // There is only one kind of code for 32-bit machines.
            Self::Host if cfg!(target_pointer_width = "32") => Self::Arm.name(),
            Self::Host => "this machine",
            Self::X86_64 => "amd64",
            Self::X86_64V3 => "amd64-v3",
            Self::Arm64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// wasmtime's target triple; `None` for the host's own.
    pub(crate) const fn triple(self) -> Option<&'static str> {
        match self {
            // Cranelift has no back end for 32-bit machines: portable bytecode.
            Self::Host if cfg!(target_pointer_width = "32") => Some("pulley32"),
            Self::Host => None,
            // Compiled code does not depend on the C library.
            Self::X86_64 | Self::X86_64V3 => Some("x86_64-unknown-linux-gnu"),
            Self::Arm64 => Some("aarch64-unknown-linux-gnu"),
            Self::Arm => Some("pulley32"),
        }
    }

    /// Whether the target has 32-bit addresses. Its code then depends on the memory
    /// limit of a render.
    pub fn is_32_bit(self) -> bool {
        self.triple() == Some("pulley32")
    }
}

/// Whether this processor has all of [`Target::X86_64V3`].
#[cfg(target_arch = "x86_64")]
fn is_v3() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("cmpxchg16b")
        && has!("sse4.2")
        && has!("popcnt")
        && has!("avx2")
        && has!("fma")
        && has!("bmi1")
        && has!("bmi2")
        && has!("lzcnt")
}
