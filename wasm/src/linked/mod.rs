//! Engines that are linked into this program: translated to C when the program is built, and
//! compiled by a C compiler. 32-bit machines run sites so, for which wasmtime has no machine code.
//!
//! [`image`] is what a site adds to its engine, [`space`] the memory of one render, [`call`] a call
//! into the C code, and [`site`] the guest. wasm/linked/ is the C code's side.

mod call;
pub mod image;
pub mod site;
mod space;

#[cfg(test)]
mod tests;

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
    functions: &'static Functions,
}

// `struct ssr_engine` of wasm/linked/engine.h, which says what these are.
#[repr(C)]
#[derive(Debug)]
struct Functions {
    instance_size: usize,
    init: unsafe extern "C" fn(),
    instantiate: unsafe extern "C" fn(*mut c_void, *mut call::Call),
    free: unsafe extern "C" fn(*mut c_void),
    memory: unsafe extern "C" fn(*mut c_void) -> *mut space::MemoryInC,
    input: unsafe extern "C" fn(*mut c_void, u32) -> u32,
    render: unsafe extern "C" fn(*mut c_void),
    runtime: &'static Runtime,
}

#[repr(C)]
#[derive(Debug)]
struct Runtime {
    input: unsafe extern "C" fn(*mut call::Call, &Functions, *mut c_void, *mut u32) -> i32,
    render: unsafe extern "C" fn(*mut call::Call, &Functions, *mut c_void) -> i32,
    leave: unsafe extern "C-unwind" fn(*mut call::Call) -> !,
    time_is_up: unsafe extern "C" fn() -> !,
    text_start: Address,
    text_end: Address,
}

/// An address that is only compared.
#[repr(transparent)]
#[derive(Debug)]
struct Address(*const u8);

// SAFETY: never read through.
unsafe impl Sync for Address {}

// `ENGINES`, as wasm/build.rs found them.
include!(concat!(env!("OUT_DIR"), "/linked_engines.rs"));

/// All engines that are linked into this program.
pub fn all() -> &'static [LinkedEngine] {
    ENGINES
}

/// Prepares all engines, before the first instance of any.
fn initialize() {
    static INITIALIZED: Once = Once::new();
    INITIALIZED.call_once(|| {
        for engine in ENGINES {
            // SAFETY: registers types of functions, once and from this thread alone.
            unsafe { (engine.functions.init)() };
        }
    });
}
