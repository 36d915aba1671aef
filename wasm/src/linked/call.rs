//! A call into an engine's C code, and the functions that the C code calls.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use wasmtime::{Result, Trap};

use super::image::SiteImage;
use super::interface::{self, Call, LinkedEngine, MemoryInC};
use super::space::Space;
use crate::abi::call::GuestCall;
use crate::abi::error::{RenderError, Stop};
use crate::abi::imports::each_import;
use crate::abi::state::GuestState;
use crate::abi::{host_functions, wasi_stub};
use crate::engine::WASM_STACK;

const WASM_PAGE: usize = 64 << 10;

/// What `memory.grow` returns if it does not.
const NOT_GROWN: u32 = u32::MAX;

/// What functions that the C code calls know about the call.
struct Host<'a> {
    state: &'a mut GuestState,
    space: &'a mut Space,
    memory: *mut MemoryInC,
    engine: &'static LinkedEngine,
    /// Why such a function has ended the call.
    left: Option<Left>,
}

enum Left {
    Error(wasmtime::Error),
    Panic(Box<dyn Any + Send>),
}

impl GuestCall for Host<'_> {
    fn state(&mut self) -> &mut GuestState {
        self.state
    }

    fn memory(&mut self) -> Result<(&mut [u8], &mut GuestState)> {
        Ok((self.space.bytes(), self.state))
    }
}

/// An instance of an engine with the memory of a site, for one render after another.
pub struct Instance {
    engine: &'static LinkedEngine,
    /// Its globals and its table, as the C code has them.
    globals: Box<[u64]>,
    /// The same before the first render.
    pristine: Box<[u64]>,
    /// Where in its globals the C code has the memory.
    memory: *mut MemoryInC,
    /// Its imported functions get this address.
    call: Box<Call>,
    space: Space,
}

// SAFETY: its pointers are to its own allocations, and the C code keeps nothing of a thread.
unsafe impl Send for Instance {}

impl Instance {
    /// An instance whose memory may grow to `limit` bytes.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(engine: &'static LinkedEngine, image: &SiteImage, limit: usize) -> std::io::Result<Self> {
        interface::initialize();
        let space = Space::new(image, limit)?;
        let functions = engine.functions;
        let words = functions.instance_size.div_ceil(size_of::<u64>());
        let mut globals = vec![0_u64; words].into_boxed_slice();
        let mut call = Box::new(Call { stack_limit: 0, leave: ptr::null_mut(), host: ptr::null_mut() });
        let instance = globals.as_mut_ptr().cast();
        // SAFETY: there is room for an instance, and the call lives as long as it. Not under a time
        // limit, which ends whatever is in the engine's code by leaving a call: there is none yet.
        let memory = unsafe {
            (functions.instantiate)(instance, &raw mut *call);
            (functions.memory)(instance)
        };
        Ok(Self { engine, pristine: globals.clone(), globals, memory, call, space })
    }

    /// Renders the request in `input`.
    ///
    /// # Errors
    /// A [`Stop`], or the [`Trap`] that ended the render; [`Trap::Interrupt`] if the time was up.
    pub fn render(&mut self, state: &mut GuestState, input: &[u8]) -> Result<()> {
        let functions = self.engine.functions;
        let (_, initial) = self.space.place();
        state.limiter().memory_growing(0, initial, None)?;
        self.globals.copy_from_slice(&self.pristine);
        let instance = self.globals.as_mut_ptr().cast();
        let (space, memory) = (&mut self.space, self.memory);
        let mut host = Host { state, space, memory, engine: self.engine, left: None };
        host.tell_place();
        let call = &raw mut *self.call;
        let here = ptr::from_ref(&host).addr();
        let mut at = u32::try_from(input.len())?;
        // SAFETY: nobody else has this value while it renders. The host outlives the call. What
        // leaves the C code early skips frames of C, and such of `imported` and its callers as have
        // nothing to drop.
        let reason = unsafe {
            (*call).stack_limit = here.saturating_sub(WASM_STACK).wrapping_neg();
            (*call).host = (&raw mut host).cast();
            (functions.runtime.input)(call, functions, instance, &raw mut at)
        };
        host.check(reason)?;
        host.slice(at, u32::try_from(input.len())?)?.0.copy_from_slice(input);
        // SAFETY: as above.
        let reason = unsafe {
            (*call).host = (&raw mut host).cast();
            (functions.runtime.render)(call, functions, instance)
        };
        host.check(reason)
    }

    /// Makes its memory what it was at first.
    ///
    /// # Errors
    /// If the system refuses; then it must not be used again.
    pub fn reset(&mut self) -> std::io::Result<()> {
        self.space.reset()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: nobody runs it any more.
        unsafe { (self.engine.functions.free)(self.globals.as_mut_ptr().cast()) };
    }
}

impl Host<'_> {
    /// Tells the C code where the memory is.
    fn tell_place(&mut self) {
        let (data, size) = self.space.place();
        // SAFETY: the instance's memory, which no C code uses while the host runs. There are less
        // than 4 GiB of it.
        unsafe {
            (*self.memory).data = data;
            (*self.memory).pages = (size / WASM_PAGE) as u32;
            (*self.memory).size = size as u32;
        }
    }

    fn grow(&mut self, pages: u32) -> Result<u32> {
        let (_, size) = self.space.place();
        let before = (size / WASM_PAGE) as u32;
        let Some(after) = before.checked_add(pages) else { return Ok(NOT_GROWN) };
        let Some(grown) = (after as usize).checked_mul(WASM_PAGE) else { return Ok(NOT_GROWN) };
        // SAFETY: as in `tell_place`.
        let most = unsafe { (*self.memory).max_pages };
        // The render's limit first, as wasmtime does.
        if !self.state.limiter().memory_growing(size, grown, None)?
            || after > most
            || !self.space.grow(grown)?
        {
            return Ok(NOT_GROWN);
        }
        self.tell_place();
        Ok(before)
    }

    /// What a number means that the C code returns.
    fn check(&mut self, reason: i32) -> Result<()> {
        // Those of wasm/linked/wasm-rt.h and runtime.c.
        let trap = match reason {
            0 => return Ok(()),
            1 => Trap::MemoryOutOfBounds,
            2 => Trap::IntegerOverflow,
            3 => Trap::IntegerDivisionByZero,
            4 => Trap::BadConversionToInteger,
            5 => Trap::UnreachableCodeReached,
            6 => Trap::BadSignature,
            7 => Trap::StackOverflow,
            101 => Trap::Interrupt,
            _ => {
                return match self.left.take() {
                    Some(Left::Error(error)) => Err(error),
                    Some(Left::Panic(panic)) => panic::resume_unwind(panic),
                    None => Err(Stop::with(RenderError::Trapped(format!("for the unknown reason {reason}")))),
                };
            }
        };
        Err(trap.into())
    }
}

/// Calls a function that the guest imports, and leaves the guest if that fails.
///
/// # Safety
/// To be called by C code that runs `call`.
unsafe fn imported<R>(call: *mut Call, function: impl FnOnce(&mut Host<'_>) -> Result<R>) -> R {
    let leave = {
        // SAFETY: the call's host outlives it, and nothing else uses it while the C code runs.
        let host = unsafe { &mut *(*call).host.cast::<Host<'_>>() };
        let result = panic::catch_unwind(AssertUnwindSafe(|| function(host)));
        host.left = Some(match result {
            Ok(Ok(result)) => return result,
            Ok(Err(error)) => Left::Error(error),
            Err(panic) => Left::Panic(panic),
        });
        host.engine.functions.runtime.leave
    };
    // SAFETY: C code runs the call. This frame and its caller's have nothing left to drop.
    unsafe { leave(call) }
}

macro_rules! define {
    ($($place:ident $module:literal {
        $($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*
    })*) => {
        $($(
            const _: () = {
                #[unsafe(export_name = concat!("Z_", $module, "Z_", stringify!($name)))]
                unsafe extern "C-unwind" fn $name(call: *mut Call, $($parameter: $type),*) -> $result {
                    // SAFETY: wasm2c's code calls it as an imported function of the running call.
                    unsafe { imported(call, |host| $place::$name(host, $($parameter),*)) }
                }
            };
        )*)*
    };
}
each_import!(define);

/// `memory.grow`, for wasm/linked/runtime.c.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn ssr_linked_grow(call: *mut Call, pages: u32) -> u32 {
    // SAFETY: the C code calls it with the running call.
    unsafe { imported(call, |host| host.grow(pages)) }
}
