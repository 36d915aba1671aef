//! Time limits by signals: compiled code runs without any check, and a render that
//! takes too long is made to trap wherever it is.
//!
//! A watching thread sends the render's thread a signal. If the handler finds the
//! thread in one of the module's functions, it moves it to an instruction of that
//! module that always traps, one that wasmtime itself has recorded as a trap
//! (`unreachable`, or a failed stack check). An ordinary trap follows, which unwinds to
//! where the module was entered. This is safe at any instruction of a function:
//! wasmtime unwinds from its own entry frame and needs nothing of the frames between.
//! Anywhere else (host functions, wasmtime's trampolines) the handler leaves the thread
//! alone, and the signal is sent again a millisecond later.
//!
//! A thread may be there nearly always: a loop that does nothing but fill memory is in
//! compiled code for some nanoseconds in each round. After a while the handler therefore
//! bars the way back: the addresses in compiled code that host functions return to, which
//! are on the thread's stack, become the address of the trap.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::Module;
use wasmtime::component::Component;

use super::registers::{call, go_to, instruction, stack_pointer};
use super::{stack, trap};

/// Whether this works for modules on this machine: wasmtime makes machine code for it.
pub const SUPPORTED: bool = cfg!(target_pointer_width = "64");

/// The signal. It is ignored by default, so one that somebody else sends does no harm
/// before the handler is installed.
const SIGNAL: libc::c_int = libc::SIGURG;

/// How long until the signal is sent again.
const RESEND_INTERVAL: Duration = Duration::from_millis(1);

/// The same for a render that has been late for [`VERY_LATE`]: one that is nearly always
/// in host functions and is seldom met in between. It matters where the way back is not
/// found: for calls with a stack of their own.
const HASTY_INTERVAL: Duration = Duration::from_micros(2);
const VERY_LATE: Duration = Duration::from_millis(20);

/// The compiled code of modules that run together, by address.
struct Code {
    /// Starts and ends of their functions, sorted.
    functions: Vec<(usize, usize)>,
    end: End,
    /// Keeps the code mapped.
    _images: Vec<Image>,
}

/// Where a render goes whose time is up.
enum End {
    /// To an instruction that always traps.
    Trap(usize),
    /// To a function without parameters that does not return.
    Function(usize),
}

/// What code belongs to.
enum Image {
    Module(Module),
    Component(Component),
}

impl Image {
    /// The compiled code as wasmtime serializes it.
    fn bytes(&self) -> &[u8] {
        let Range { start, end } = match self {
            Self::Module(module) => module.image_range(),
            Self::Component(component) => component.image_range(),
        };
        // SAFETY: wasmtime's own image, which lives as long as the module or component.
        unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
    }
}

impl Code {
    /// `None` if no module has an instruction that always traps.
    fn of(modules: &[&Module]) -> Option<Self> {
        if !SUPPORTED {
            return None;
        }
        let (mut functions, mut trap, mut images) = (Vec::new(), None, Vec::new());
        for &module in modules {
            let base = module.text().as_ptr().addr();
            let image = Image::Module(module.clone());
            trap = trap.or_else(|| Some(base + trap::find(image.bytes())?));
            functions.extend(
                module
                    .functions()
                    .map(|function| (base + function.offset, base + function.offset + function.len)),
            );
            images.push(image);
        }
        functions.sort_unstable();
        Some(Self { functions, end: End::Trap(trap?), _images: images })
    }

    /// The same for all modules of a component, whose functions only the image's symbols tell.
    fn of_component(component: &Component) -> Option<Self> {
        if !SUPPORTED {
            return None;
        }
        let image = Image::Component(component.clone());
        let bytes = image.bytes();
        let offset = trap::find(bytes)?;
        let (text, mut functions) = trap::functions(bytes)?;
        let base = bytes.as_ptr().addr() + text;
        functions.iter_mut().for_each(|(start, end)| (*start, *end) = (base + *start, base + *end));
        functions.sort_unstable();
        Some(Self { functions, end: End::Trap(base + offset), _images: vec![image] })
    }

    fn contains(&self, address: usize) -> bool {
        let after = self.functions.partition_point(|&(start, _)| start <= address);
        after > 0 && address < self.functions[after - 1].1
    }
}

/// A render, as the signal handler sees it.
struct Running {
    code: Arc<Code>,
    /// The part of its thread's stack that its calls use, if that is known.
    stack: Option<Range<usize>>,
    /// Whether its time is up.
    expired: AtomicBool,
    /// Whether it has been up for [`VERY_LATE`].
    very_late: AtomicBool,
    /// From where on in the stack the way back is barred.
    barred_from: AtomicUsize,
}

thread_local! {
    /// What this thread renders, or null. Neither initialized lazily nor dropped, so a
    /// signal handler may read it.
    static RUNNING: Cell<*const Running> = const { Cell::new(ptr::null()) };
    /// Whether this thread has the signal unblocked.
    static UNBLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Ends renders of one module, or of several that run together.
pub struct Signals {
    code: Arc<Code>,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    renders: Vec<Render>,
    /// When the watching thread looks next; `None` while there is no render.
    next_look: Option<Instant>,
    /// Tells the watching thread to end.
    stopped: bool,
}

struct Render {
    deadline: Instant,
    /// The kernel's thread id: musl's `pthread_t` is a pointer.
    thread: libc::pid_t,
    running: Arc<Running>,
}

/// A render under a time limit, until the value is dropped.
pub struct Limited<'a> {
    watch: &'a Watch,
    running: Arc<Running>,
}

impl Signals {
    /// Starts the watching thread, which ends with the value. `Ok(None)` if these modules
    /// have no instruction that always traps.
    pub fn start(modules: &[&Module]) -> io::Result<Option<Self>> {
        Code::of(modules).map(Self::watch).transpose()
    }

    /// The same for a component.
    pub fn start_for_component(component: &Component) -> io::Result<Option<Self>> {
        Code::of_component(component).map(Self::watch).transpose()
    }

    /// The same for the machine code of engines that are linked into this program, all of which is
    /// at `text`. A call that has to end goes on at `leave`, a function that takes nothing and does
    /// not return.
    pub fn start_for_linked(text: Range<usize>, leave: usize) -> io::Result<Self> {
        let functions = vec![(text.start, text.end)];
        Self::watch(Code { functions, end: End::Function(leave), _images: Vec::new() })
    }

    /// Whether a module has an instruction that always traps.
    pub fn suits_module(module: &Module) -> bool {
        Code::of(&[module]).is_some()
    }

    /// Whether a component has an instruction that always traps.
    pub fn suits_component(component: &Component) -> bool {
        Code::of_component(component).is_some()
    }

    fn watch(code: Code) -> io::Result<Self> {
        install_handler()?;
        let watch = Arc::new(Watch::default());
        let watched = Arc::clone(&watch);
        std::thread::Builder::new()
            .name("ssr-clock".to_owned())
            .stack_size(64 << 10)
            .spawn(move || watched.run())?;
        Ok(Self { code: Arc::new(code), watch })
    }

    /// Ends this thread's calls into the module that take longer than `limit`,
    /// until the returned value is dropped.
    pub fn limit(&self, limit: Duration) -> Limited<'_> {
        unblock();
        let running = Arc::new(Running {
            code: Arc::clone(&self.code),
            stack: stack::from_here(),
            expired: AtomicBool::new(false),
            very_late: AtomicBool::new(false),
            barred_from: AtomicUsize::new(usize::MAX),
        });
        RUNNING.set(Arc::as_ptr(&running));
        let deadline = Instant::now() + limit;
        // SAFETY: has no requirements.
        let thread = unsafe { libc::gettid() };
        let mut state = self.watch.state.lock();
        state.renders.push(Render { deadline, thread, running: Arc::clone(&running) });
        if state.next_look.is_none_or(|next| deadline < next) {
            self.watch.changed.notify_one();
        }
        Limited { watch: &self.watch, running }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.watch.state.lock().stopped = true;
        self.watch.changed.notify_one();
    }
}

impl Limited<'_> {
    /// Whether the limit was reached.
    pub fn reached(&self) -> bool {
        self.running.expired.load(Ordering::Relaxed)
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        RUNNING.set(ptr::null());
        // Under the lock: from here on no signal is sent for this render.
        self.watch.state.lock().renders.retain(|render| !Arc::ptr_eq(&render.running, &self.running));
    }
}

impl Watch {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let now = Instant::now();
            let look = |render: &Render| {
                if render.deadline > now {
                    return render.deadline;
                }
                let late = now.saturating_duration_since(render.deadline);
                render.running.expired.store(true, Ordering::Relaxed);
                render.running.very_late.store(late >= VERY_LATE, Ordering::Relaxed);
                // The thread exists: it removes its render from the list, under the lock that
                // is held here, before it ends.
                signal(render.thread);
                now + if late < VERY_LATE { RESEND_INTERVAL } else { HASTY_INTERVAL }
            };
            state.next_look = state.renders.iter().map(look).min();
            match state.next_look {
                None => self.changed.wait(&mut state),
                Some(next) => drop(self.changed.wait_until(&mut state, next)),
            }
        }
    }
}

/// Sends the signal to a thread of this process.
fn signal(thread: libc::pid_t) {
    // SAFETY: takes numbers only; at worst there is no such thread.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
}

fn install_handler() -> io::Result<()> {
    static INSTALLED: Once = Once::new();
    let mut result = Ok(());
    INSTALLED.call_once(|| {
        // SAFETY: an all-zero sigaction is valid, and the handler is async-signal-safe: it
        // reads memory that outlives it and allocates nothing. It runs on the alternate
        // stack that wasmtime gives the threads that call it.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            if libc::sigaction(SIGNAL, &action, ptr::null_mut()) != 0 {
                result = Err(io::Error::last_os_error());
            }
        }
    });
    result
}

/// Unblocks the signal on this thread, whatever mask it has inherited.
fn unblock() {
    if UNBLOCKED.replace(true) {
        return;
    }
    // SAFETY: the set is initialised by `sigemptyset`.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let running = RUNNING.get();
    if running.is_null() {
        return;
    }
    // SAFETY: what `RUNNING` points to lives until this same thread has cleared it, and
    // the kernel passes SA_SIGINFO handlers a ucontext of their own.
    let (running, context) = unsafe { (&*running, &mut *context.cast::<libc::ucontext_t>()) };
    if !running.expired.load(Ordering::Relaxed) {
        return;
    }
    if running.code.contains(instruction(context)) {
        match running.code.end {
            End::Trap(trap) => go_to(context, trap),
            End::Function(function) => call(context, function),
        }
    } else if running.very_late.load(Ordering::Relaxed) {
        bar_the_way_back(running, context);
    }
}

/// Has the host functions that this thread is in return to the trap instead of compiled code.
/// Linked engines have no trap, and nothing can return to a function.
fn bar_the_way_back(running: &Running, context: &libc::ucontext_t) {
    let (End::Trap(trap), Some(stack)) = (&running.code.end, &running.stack) else { return };
    let end = stack_pointer(context);
    // A call with a stack of its own is somewhere else.
    if !stack.contains(&end) {
        return;
    }
    // SAFETY: this thread uses its stack from `end` on. An address within a function that was
    // WebAssembly is a return address there, or what an earlier call has left: wasmtime calls such
    // functions by trampolines only. What else reads return addresses are backtraces and the
    // collector of unused objects, which take the trap for any other instruction of compiled code,
    // and this call never gets back to its objects.
    //
    // A deep stack takes longer than it is until the next signal: no part of it is looked at twice.
    let start = running.barred_from.fetch_min(end, Ordering::Relaxed).min(stack.end);
    unsafe { stack::replace(end..start, |word| running.code.contains(word), *trap) };
}

#[cfg(test)]
mod tests;
