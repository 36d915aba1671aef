//! The guest's calls to its host: the imports of the render ABI.
//!
//! In WebAssembly these are the functions of the import module `ssr_v1`. In a
//! native build they fill a [`Recorder`], which tests and benchmarks read.

/// Failure kind: the site's code threw.
pub const THREW: u32 = 1;
/// Failure kind: the site awaits a promise that can no longer settle.
pub const STALLED: u32 = 2;

/// Log level of [`log`]: error. 2 is info and 3 is debug.
pub const ERROR: u32 = 0;
/// Log level of [`log`]: warning.
pub const WARN: u32 = 1;

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "ssr_v1")]
    unsafe extern "C" {
        pub fn respond(status: u32, headers: *const u8, headers_len: usize, streaming: u32);
        pub fn write(bytes: *const u8, len: usize);
        pub fn end();
        pub fn fail(kind: u32, message: *const u8, message_len: usize, stack: *const u8, stack_len: usize);
        pub fn log(level: u32, text: *const u8, len: usize);
        pub fn sleep(milliseconds: f64);
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn random_get(buffer: *mut u8, len: usize) -> u32;
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::imports;

    /// Starts the response with its status and headers (`name\nvalue\n` each).
    /// `streaming` asks the host to send each write immediately.
    pub fn respond(status: u32, headers: &str, streaming: bool) {
        // SAFETY (here and below): the host reads the slice only during the call.
        unsafe { imports::respond(status, headers.as_ptr(), headers.len(), streaming.into()) }
    }

    /// Appends to the response body.
    pub fn write(bytes: &[u8]) {
        unsafe { imports::write(bytes.as_ptr(), bytes.len()) }
    }

    /// Completes the response.
    pub fn end() {
        unsafe { imports::end() }
    }

    /// Reports that the call failed. `kind` is [`THREW`](super::THREW) or
    /// [`STALLED`](super::STALLED).
    pub fn fail(kind: u32, message: &str, stack: &str) {
        unsafe { imports::fail(kind, message.as_ptr(), message.len(), stack.as_ptr(), stack.len()) }
    }

    /// Writes to the container's log.
    pub fn log(level: u32, text: &str) {
        unsafe { imports::log(level, text.as_ptr(), text.len()) }
    }

    /// Blocks for the given time.
    pub fn sleep(milliseconds: f64) {
        unsafe { imports::sleep(milliseconds) }
    }

    /// Fills `buffer` with random bytes from the host.
    pub fn random(buffer: &mut [u8]) {
        // SAFETY: the host writes only within the buffer. The call always
        // succeeds: if the server has no randomness, it ends the request instead.
        unsafe { imports::random_get(buffer.as_mut_ptr(), buffer.len()) };
    }
}
#[cfg(target_arch = "wasm32")]
pub use wasm::*;

#[cfg(not(target_arch = "wasm32"))]
mod recorder {
    use std::cell::RefCell;
    use std::io::Read as _;

    /// The result of a call to the guest in a native build.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    pub struct Recorder {
        /// The response's status; 0 if there was no response.
        pub status: u32,
        /// The response's headers, `name\nvalue\n` each.
        pub headers: String,
        /// Whether the response asked to be streamed.
        pub streaming: bool,
        /// The response body.
        pub body: Vec<u8>,
        /// Whether the response is complete.
        pub ended: bool,
        /// The failure's kind, message and stack.
        pub failure: Option<(u32, String, String)>,
        /// Log lines with their levels.
        pub log: Vec<(u32, String)>,
    }

    thread_local! {
        static RECORDER: RefCell<Recorder> = RefCell::default();
    }

    /// Takes everything recorded on this thread since the last call.
    pub fn take() -> Recorder {
        RECORDER.take()
    }

    /// Starts the response.
    pub fn respond(status: u32, headers: &str, streaming: bool) {
        RECORDER.with_borrow_mut(|r| {
            r.status = status;
            r.headers = headers.to_owned();
            r.streaming = streaming;
        });
    }

    /// Appends to the response body.
    pub fn write(bytes: &[u8]) {
        RECORDER.with_borrow_mut(|r| r.body.extend_from_slice(bytes));
    }

    /// Completes the response.
    pub fn end() {
        RECORDER.with_borrow_mut(|r| r.ended = true);
    }

    /// Records a failure.
    pub fn fail(kind: u32, message: &str, stack: &str) {
        RECORDER.with_borrow_mut(|r| r.failure = Some((kind, message.to_owned(), stack.to_owned())));
    }

    /// Records a log line.
    pub fn log(level: u32, text: &str) {
        RECORDER.with_borrow_mut(|r| r.log.push((level, text.to_owned())));
    }

    /// Blocks for the given time.
    pub fn sleep(milliseconds: f64) {
        std::thread::sleep(std::time::Duration::from_secs_f64(milliseconds / 1000.0));
    }

    /// Fills `buffer` with random bytes from the system.
    pub fn random(buffer: &mut [u8]) {
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(buffer));
        if let Err(error) = read {
            panic!("no randomness from /dev/urandom: {error}");
        }
    }
}
#[cfg(not(target_arch = "wasm32"))]
pub use recorder::*;
