//! What Rust and C know of each other; wasm/linked/ has the same in C.

use std::ffi::c_void;
use std::sync::Once;

/// An engine that is linked into this program.
#[derive(Debug)]
pub struct LinkedEngine {
    /// The release that it is of.
    pub version: &'static str,
    /// [`crate::carried::parts::CodeDigest`] of its module.
    pub code: &'static str,
    /// 16 hexadecimal digits, different for different engines and forms of a site's image.
    pub id: &'static str,
    pub(super) functions: &'static Functions,
}

// `struct ssr_engine` of wasm/linked/engine.h, which says what these are.
#[repr(C)]
#[derive(Debug)]
pub struct Functions {
    pub instance_size: usize,
    pub init: unsafe extern "C" fn(),
    pub instantiate: unsafe extern "C" fn(*mut c_void, *mut Call),
    pub free: unsafe extern "C" fn(*mut c_void),
    pub memory: unsafe extern "C" fn(*mut c_void) -> *mut MemoryInC,
    pub input: unsafe extern "C" fn(*mut c_void, u32) -> u32,
    pub render: unsafe extern "C" fn(*mut c_void),
    pub runtime: &'static Runtime,
}

#[repr(C)]
#[derive(Debug)]
pub struct Runtime {
    pub input: unsafe extern "C" fn(*mut Call, &Functions, *mut c_void, *mut u32) -> i32,
    pub render: unsafe extern "C" fn(*mut Call, &Functions, *mut c_void) -> i32,
    pub leave: unsafe extern "C-unwind" fn(*mut Call) -> !,
    pub time_is_up: unsafe extern "C" fn() -> !,
    pub text_start: Address,
    pub text_end: Address,
}

/// An address that is only compared.
#[repr(transparent)]
#[derive(Debug)]
pub struct Address(pub *const u8);

// SAFETY: never read through.
unsafe impl Sync for Address {}

/// `struct ssr_call` of wasm/linked/wasm-rt.h.
#[repr(C)]
#[derive(Debug)]
pub struct Call {
    pub stack_limit: usize,
    pub leave: *mut c_void,
    pub host: *mut c_void,
}

/// `wasm_rt_memory_t` of wasm/linked/wasm-rt.h.
#[repr(C)]
#[derive(Debug)]
pub struct MemoryInC {
    pub data: *mut u8,
    /// Pages of 64 KiB.
    pub pages: u32,
    pub max_pages: u32,
    /// Bytes.
    pub size: u32,
}

// `ENGINES`, as wasm/build.rs found them.
include!(concat!(env!("OUT_DIR"), "/linked_engines.rs"));

/// Prepares all engines, before the first instance of any.
pub fn initialize() {
    static INITIALIZED: Once = Once::new();
    INITIALIZED.call_once(|| {
        for engine in ENGINES {
            // SAFETY: registers types of functions, once and from this thread alone.
            unsafe { (engine.functions.init)() };
        }
    });
}
