//! The machines that code is compiled for.

/// What code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This machine's processor, with every instruction it has.
    Host,
    /// Any x86-64 processor.
    X86_64,
    /// Any 64-bit ARM processor.
    Arm64,
    /// Any 32-bit processor, as wasmtime's portable bytecode (Pulley).
    Arm,
}

impl Target {
    /// The targets whose code other machines can run.
    pub const PORTABLE: [Self; 3] = [Self::X86_64, Self::Arm64, Self::Arm];

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

    /// The name people use, which is that of the container platform.
    pub const fn name(self) -> &'static str {
        match self {
            // There is only one kind of code for 32-bit machines.
            Self::Host if cfg!(target_pointer_width = "32") => Self::Arm.name(),
            Self::Host => "this machine",
            Self::X86_64 => "amd64",
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
            Self::X86_64 => Some("x86_64-unknown-linux-gnu"),
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
