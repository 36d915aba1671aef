//! The JavaScript engine guest: QuickJS-ng, the web APIs, and the render ABI.
//!
//! Built for `wasm32-wasip1`, it is the module in which `ssr build` evaluates a
//! site before taking a snapshot. Built natively, it is the same engine without
//! WebAssembly: the baseline in `bench/`, and what the tests here run on.
//!
//! The render ABI (version [`ABI_VERSION`]) is described in `docs/render-abi.md`.

mod engine;
#[cfg(target_arch = "wasm32")]
mod engine_allocator;
mod fields;
pub mod host;
mod native;
#[cfg(target_arch = "wasm32")]
mod page_heap;
#[cfg(any(target_arch = "wasm32", test))]
mod size_class;
mod url_parts;

use std::cell::RefCell;

use engine::{Failure, Site};
use fields::Fields;

/// The version of the contract between this guest and the server.
pub const ABI_VERSION: u32 = 1;

thread_local! {
    /// The site that `ssr_init` evaluated; the snapshot preserves it.
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
    /// The buffer the host fills before a call.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Allocates an input buffer of `length` bytes and returns its address.
#[unsafe(no_mangle)]
pub extern "C" fn ssr_input(length: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.resize(length, 0);
        input.as_mut_ptr()
    })
}

/// Evaluates a site at build time. Input fields: the module's name, its source
/// and the page template (absent if there is none). Returns 0 on success, or 1
/// after reporting the failure to the host.
#[unsafe(no_mangle)]
pub extern "C" fn ssr_init() -> u32 {
    match evaluate(&INPUT.take()) {
        Ok(site) => {
            SITE.set(Some(site));
            #[cfg(target_arch = "wasm32")]
            page_heap::HEAP.seal();
            0
        }
        Err(failure) => {
            failure.report();
            1
        }
    }
}

fn evaluate(input: &[u8]) -> Result<Site, Failure> {
    let mut fields = Fields::new(input);
    let (name, source, template) = (fields.text(), fields.text(), fields.optional_text());
    Site::evaluate(&name, &source, template.as_deref())
}

/// Prepares an instance on a host that restores written pages by copying them;
/// see `PageHeap::touch_arenas`. On other hosts it only costs time.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub extern "C" fn ssr_warm() {
    page_heap::HEAP.touch_arenas();
}

/// Answers one request. Input fields: method, URL, path with query, headers
/// (`name\nvalue\n` each), body (absent if there is none), environment
/// (`NAME=value\0` each). The response goes to the host through its imports.
#[unsafe(no_mangle)]
pub extern "C" fn ssr_render() {
    let input = INPUT.take();
    SITE.with_borrow(|site| match site {
        Some(site) => {
            if let Err(failure) = site.answer(&mut Fields::new(&input)) {
                failure.report();
            }
        }
        None => host::fail(host::THREW, "this module contains no site: build it with `ssr build`", ""),
    });
}
