//! What the guest asks of its host: the imports of the render ABI.
//!
//! In WebAssembly these are the functions of the import module `ssr_v1`. In a
//! native build they fill a [`Recorder`], which tests and benchmarks read.

/// A failure's kind: the site's code threw.
pub const THREW: u32 = 1;
/// A failure's kind: the site awaits something that nothing can settle any more.
pub const STALLED: u32 = 2;

/// Log level of [`log`]: error. Warn, info and debug follow.
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

    /// Starts the response: its status and headers (`name\nvalue\n` each).
    /// `streaming` asks for each write to be sent at once.
    pub fn respond(status: u32, headers: &str, streaming: bool) {
        // SAFETY (here and below): the host reads the slice during the call only.
        unsafe { imports::respond(status, headers.as_ptr(), headers.len(), streaming.into()) }
    }

    /// Appends to the response's body.
    pub fn write(bytes: &[u8]) {
        unsafe { imports::write(bytes.as_ptr(), bytes.len()) }
    }

    /// Completes the response.
    pub fn end() {
        unsafe { imports::end() }
    }

    /// Reports that the call failed; the kinds are this module's constants.
    pub fn fail(kind: u32, message: &str, stack: &str) {
        unsafe { imports::fail(kind, message.as_ptr(), message.len(), stack.as_ptr(), stack.len()) }
    }

    /// Writes to the container's log.
    pub fn log(level: u32, text: &str) {
        unsafe { imports::log(level, text.as_ptr(), text.len()) }
    }

    /// Waits.
    pub fn sleep(milliseconds: f64) {
        unsafe { imports::sleep(milliseconds) }
    }

    /// Fills `buffer` with random bytes from the host.
    pub fn random(buffer: &mut [u8]) {
        // SAFETY: the host writes within the buffer only. Its answer is always
        // success: the server ends the request where it has no randomness.
        unsafe { imports::random_get(buffer.as_mut_ptr(), buffer.len()) };
    }
}
#[cfg(target_arch = "wasm32")]
pub use wasm::*;

#[cfg(not(target_arch = "wasm32"))]
mod recorder {
    use std::cell::RefCell;
    use std::io::Read as _;

    /// What a call to the guest gave, in a native build.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    pub struct Recorder {
        /// The response's status; 0 while there is no response.
        pub status: u32,
        /// The response's headers, `name\nvalue\n` each.
        pub headers: String,
        /// Whether the response asked to be streamed.
        pub streaming: bool,
        /// The response's body.
        pub body: Vec<u8>,
        /// Whether the response was completed.
        pub ended: bool,
        /// The failure's kind, message and stack.
        pub failure: Option<(u32, String, String)>,
        /// Log lines and their levels.
        pub log: Vec<(u32, String)>,
    }

    thread_local! {
        static RECORDER: RefCell<Recorder> = RefCell::default();
    }

    /// Takes what has been recorded on this thread since the last call.
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

    /// Appends to the response's body.
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

    /// Waits.
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
