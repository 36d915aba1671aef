//! The registers of a thread that a signal has interrupted, as its handler sees and changes them:
//! which instruction it is at, where its stack ends, where it goes on, and how it calls a function
//! there.

pub use of_this_machine::{call, go_to, instruction, stack_pointer};

#[cfg(target_arch = "x86_64")]
mod of_this_machine {
    use libc::ucontext_t;

    pub fn instruction(context: &ucontext_t) -> usize {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
    }

    pub fn stack_pointer(context: &ucontext_t) -> usize {
        context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
    }

    pub fn go_to(context: &mut ucontext_t, instruction: usize) {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] = instruction as i64;
    }

    /// As the System V ABI has it: the stack is aligned before a call, which pushes an address.
    pub fn call(context: &mut ucontext_t, function: usize) {
        let stack = &mut context.uc_mcontext.gregs[libc::REG_RSP as usize];
        // Functions may use 128 bytes below their stack.
        *stack = ((*stack - 128) & !15) - 8;
        go_to(context, function);
    }
}

#[cfg(target_arch = "aarch64")]
mod of_this_machine {
    use libc::ucontext_t;

    pub fn instruction(context: &ucontext_t) -> usize {
        context.uc_mcontext.pc as usize
    }

    pub fn stack_pointer(context: &ucontext_t) -> usize {
        context.uc_mcontext.sp as usize
    }

    pub fn go_to(context: &mut ucontext_t, instruction: usize) {
        context.uc_mcontext.pc = instruction as u64;
    }

    /// The stack is always aligned.
    pub fn call(context: &mut ucontext_t, function: usize) {
        go_to(context, function);
    }
}

#[cfg(target_arch = "arm")]
mod of_this_machine {
    use libc::ucontext_t;

    /// The bit of the status register that says whether instructions are Thumb's.
    const THUMB: libc::c_ulong = 1 << 5;

    pub fn instruction(context: &ucontext_t) -> usize {
        context.uc_mcontext.arm_pc as usize
    }

    pub fn stack_pointer(context: &ucontext_t) -> usize {
        context.uc_mcontext.arm_sp as usize
    }

    pub fn go_to(context: &mut ucontext_t, instruction: usize) {
        let state = &mut context.uc_mcontext;
        // As `bx` does: an odd address is one of Thumb instructions.
        state.arm_cpsr = if instruction & 1 == 1 { state.arm_cpsr | THUMB } else { state.arm_cpsr & !THUMB };
        state.arm_pc = (instruction & !1) as libc::c_ulong;
    }

    /// The stack is aligned to 8 bytes where a function begins, and to 4 anywhere else.
    pub fn call(context: &mut ucontext_t, function: usize) {
        context.uc_mcontext.arm_sp &= !7;
        go_to(context, function);
    }
}

#[cfg(target_arch = "x86")]
mod of_this_machine {
    use libc::ucontext_t;

    /// Places of registers among the context's (Linux, asm/sigcontext.h), which musl hides.
    const STACK: usize = 7;
    const INSTRUCTION: usize = 14;

    fn register(context: &ucontext_t, number: usize) -> *mut u32 {
        let registers = (&raw const context.uc_mcontext).cast::<u32>().cast_mut();
        // SAFETY: there are nineteen.
        unsafe { registers.add(number) }
    }

    pub fn instruction(context: &ucontext_t) -> usize {
        // SAFETY: the context is the kernel's.
        unsafe { *register(context, INSTRUCTION) as usize }
    }

    pub fn stack_pointer(context: &ucontext_t) -> usize {
        // SAFETY: as above.
        unsafe { *register(context, STACK) as usize }
    }

    pub fn go_to(context: &mut ucontext_t, instruction: usize) {
        // SAFETY: as above.
        unsafe { *register(context, INSTRUCTION) = instruction as u32 };
    }

    /// As the System V ABI has it: the stack is aligned before a call, which pushes an address.
    pub fn call(context: &mut ucontext_t, function: usize) {
        let stack = register(context, STACK);
        // SAFETY: as above.
        unsafe { *stack = (*stack & !15) - 4 };
        go_to(context, function);
    }
}
