//! Time limits by signals: compiled code runs without any check, and a render
//! that has taken too long is made to trap wherever it is.
//!
//! A watching thread sends the render's thread a signal. Its handler looks where
//! the thread was interrupted. In one of the module's functions, it moves the
//! thread to an instruction of that module that always traps, one that the
//! engine itself has recorded as a trap (`unreachable`, or a failed stack check):
//! what follows is an ordinary trap, which unwinds to where the module was
//! entered. Any instruction of a function may be left in this way: the engine
//! unwinds from its own entry frame and needs nothing of the frames between.
//! Anywhere else (the host's functions, the engine's trampolines) the handler
//! leaves the thread alone, and the signal comes again a millisecond later.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Module;

use super::traps;

/// Whether renders can be ended in this way on this machine.
pub const SUPPORTED: bool = true;

/// The signal. Its default is to be ignored, so one that is sent by anybody else
/// does no harm before the handler is there either.
const SIGNAL: libc::c_int = libc::SIGURG;

/// How long until the signal is sent again.
const AGAIN: Duration = Duration::from_millis(1);

/// A module's compiled code, by address.
struct Code {
    /// Starts and ends of its functions, in order.
    functions: Vec<(usize, usize)>,
    /// An instruction that always traps.
    trap: usize,
    /// Keeps the code where it is.
    _module: Module,
}

impl Code {
    /// `None` if the module has no instruction that always traps.
    fn of(module: &Module) -> Option<Self> {
        let base = module.text().as_ptr().addr();
        // SAFETY: the engine's own image of the module, which lives as long as that.
        let image = unsafe {
            let Range { start, end } = module.image_range();
            std::slice::from_raw_parts(start, end.offset_from_unsigned(start))
        };
        let offset = traps::find(image)?;
        let mut functions: Vec<_> = module
            .functions()
            .map(|function| (base + function.offset, base + function.offset + function.len))
            .collect();
        functions.sort_unstable();
        Some(Self { functions, trap: base + offset, _module: module.clone() })
    }

    fn contains(&self, address: usize) -> bool {
        let after = self.functions.partition_point(|&(start, _)| start <= address);
        after > 0 && address < self.functions[after - 1].1
    }
}

/// A render, as the signal handler sees it.
struct Running {
    code: Arc<Code>,
    /// Whether it is to be ended.
    expired: AtomicBool,
}

thread_local! {
    /// What this thread renders; null while it does not. Neither initialised
    /// lazily nor dropped, so a signal handler may read it.
    static RUNNING: Cell<*const Running> = const { Cell::new(ptr::null()) };
    static READY: Cell<bool> = const { Cell::new(false) };
}

/// Ends renders of one module.
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
    /// When the watching thread looks next; `None` while it sleeps.
    next_look: Option<Instant>,
    /// Whether the watching thread is to end.
    over: bool,
}

struct Render {
    deadline: Instant,
    /// The kernel's number of the thread: `pthread_t` is a pointer with musl.
    thread: libc::pid_t,
    running: Arc<Running>,
}

/// A render under a time limit; ends with the value.
pub struct Limited<'a> {
    watch: &'a Watch,
    running: Arc<Running>,
}

impl Signals {
    /// Starts the watching thread, which lives as long as the value. `Ok(None)` if
    /// renders of this module cannot be ended in this way.
    pub fn start(module: &Module) -> io::Result<Option<Self>> {
        let Some(code) = Code::of(module) else { return Ok(None) };
        install_handler()?;
        let watch = Arc::new(Watch::default());
        let watched = Arc::clone(&watch);
        std::thread::Builder::new()
            .name("ssr-clock".to_owned())
            .stack_size(64 << 10)
            .spawn(move || watched.run())?;
        Ok(Some(Self { code: Arc::new(code), watch }))
    }

    /// Ends this thread's calls into the module that take longer than `limit`,
    /// until the returned value is dropped.
    pub fn limit(&self, limit: Duration) -> Limited<'_> {
        unblock();
        let running = Arc::new(Running { code: Arc::clone(&self.code), expired: AtomicBool::new(false) });
        RUNNING.set(Arc::as_ptr(&running));
        let deadline = Instant::now() + limit;
        // SAFETY: has no requirements.
        let thread = unsafe { libc::gettid() };
        let mut state = self.watch.lock();
        state.renders.push(Render { deadline, thread, running: Arc::clone(&running) });
        if state.next_look.is_none_or(|next| deadline < next) {
            self.watch.changed.notify_one();
        }
        Limited { watch: &self.watch, running }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.watch.lock().over = true;
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
        self.watch.lock().renders.retain(|render| !Arc::ptr_eq(&render.running, &self.running));
    }
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.over {
            let now = Instant::now();
            let look = |render: &Render| {
                if render.deadline > now {
                    return render.deadline;
                }
                render.running.expired.store(true, Ordering::Relaxed);
                // The thread lives: it takes its render off the list, under the lock
                // that is held here, before it ends.
                signal(render.thread);
                now + AGAIN
            };
            state.next_look = state.renders.iter().map(look).min();
            state = match state.next_look {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let waited = self.changed.wait_timeout(state, next - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Sends the signal to a thread of this process.
fn signal(thread: libc::pid_t) {
    // SAFETY: numbers only; at worst nobody has that number.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
}

fn install_handler() -> io::Result<()> {
    static INSTALLED: Once = Once::new();
    let mut result = Ok(());
    INSTALLED.call_once(|| {
        // SAFETY: an all-zero sigaction is valid, and the handler is
        // async-signal-safe: it reads memory that stays, and allocates nothing. It
        // runs on the alternative stack that the engine gives its threads.
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

/// Lets the signal through on this thread, whatever mask it has inherited.
fn unblock() {
    if READY.replace(true) {
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
    // SAFETY: what `RUNNING` points to lives until this same thread has cleared
    // it; and the kernel hands SA_SIGINFO handlers a ucontext, ours alone.
    let (running, context) = unsafe { (&*running, &mut *context.cast::<libc::ucontext_t>()) };
    if !running.expired.load(Ordering::Relaxed) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    let instruction = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let instruction = &mut context.uc_mcontext.pc;
    if running.code.contains(*instruction as usize) {
        *instruction = running.code.trap as _;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Config, Engine, Instance, Store, Trap};

    fn module(wat: &str) -> (Engine, Module) {
        let mut config = Config::new();
        config.wasm_backtrace_max_frames(None);
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
        (engine, module)
    }

    /// Calls `run` under a limit; says whether it ended by it.
    fn run(engine: &Engine, module: &Module, signals: &Signals, limit: Duration) -> bool {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let limited = signals.limit(limit);
        let result = run.call(&mut store, ());
        assert_eq!(result.is_err(), limited.reached());
        if let Err(error) = result {
            assert!(error.downcast_ref::<Trap>().is_some(), "{error:?}");
        }
        limited.reached()
    }

    /// Endless in every way that compiled code can be: with and without calls,
    /// memory, and checks of any kind.
    const ENDLESS: [&str; 5] = [
        "(loop br 0)",
        "(local i32) (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) br 0)",
        "(loop (i32.store (i32.const 8) (i32.load (i32.const 8))) br 0)",
        "(loop (call $leaf) br 0)",
        "(loop (drop (call $deep (i32.const 50))) br 0)",
    ];

    fn endless(body: &str) -> String {
        format!(
            "(module (memory 1) (func $leaf) (func $never unreachable)
               (func $deep (param i32) (result i32)
                 (if (result i32) (local.get 0)
                   (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))
               (func (export \"run\") {body}) (export \"never\" (func $never)))"
        )
    }

    #[test]
    fn every_kind_of_endless_loop_is_ended_again_and_again() {
        for body in ENDLESS {
            let (engine, module) = module(&endless(body));
            let signals = Signals::start(&module).unwrap().expect("a trap to go to");
            for _ in 0..20 {
                assert!(run(&engine, &module, &signals, Duration::from_millis(3)), "{body}");
            }
        }
    }

    #[test]
    fn what_ends_in_time_is_left_alone() {
        let (engine, module) = module(&endless("(drop (call $deep (i32.const 10)))"));
        let signals = Signals::start(&module).unwrap().unwrap();
        for _ in 0..1000 {
            assert!(!run(&engine, &module, &signals, Duration::from_secs(60)));
        }
    }

    #[test]
    fn renders_on_many_threads_end_each_by_its_own_limit() {
        let (engine, module) = module(&endless(ENDLESS[4]));
        let signals = Signals::start(&module).unwrap().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (engine, module, signals) = (&engine, &module, &signals);
                scope.spawn(move || {
                    for round in 0..50 {
                        let limit = Duration::from_micros(100 + 700 * ((number + round) % 5));
                        assert!(run(engine, module, signals, limit));
                    }
                });
            }
        });
    }

    #[test]
    fn a_module_without_any_trap_is_not_for_signals() {
        let (_, module) = module("(module (func (export \"run\") (loop br 0)))");
        assert!(Signals::start(&module).unwrap().is_none());
    }

    #[test]
    fn a_stray_signal_does_nothing() {
        let (engine, module) = module(&endless("(drop (call $deep (i32.const 1000)))"));
        let signals = Signals::start(&module).unwrap().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // SAFETY: has no requirements.
            let renders = unsafe { libc::gettid() };
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    signal(renders);
                }
            });
            for _ in 0..2000 {
                assert!(!run(&engine, &module, &signals, Duration::from_secs(60)));
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
