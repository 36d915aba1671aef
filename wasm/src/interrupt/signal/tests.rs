use super::*;
use wasmtime::{Config, Engine, Instance, Store, Trap};

fn module(wat: &str) -> (Engine, Module) {
    let mut config = Config::new();
    config.wasm_backtrace_max_frames(None);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
    (engine, module)
}

/// Calls the export `run` under a limit; returns whether the limit ended it.
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

/// Every kind of endless loop: with and without calls, memory accesses and checks, and nearly
/// always in functions of the host.
const ENDLESS: [&str; 9] = [
    "(loop br 0)",
    "(local i32) (loop (local.set 0 (i32.add (local.get 0) (i32.const 1))) br 0)",
    "(loop (i32.store (i32.const 8) (i32.load (i32.const 8))) br 0)",
    "(loop (call $leaf) br 0)",
    "(loop (drop (call $deep (i32.const 50))) br 0)",
    "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x10000)) br 0)",
    "(loop (drop (memory.grow (i32.const 0))) br 0)",
    "(loop (call $fill (i32.const 50)) br 0)",
    "(loop (call $fill (i32.const 5000)) br 0)",
];

fn endless(body: &str) -> String {
    format!(
        "(module (memory 1) (func $leaf) (func $never unreachable)
           (func $deep (param i32) (result i32)
             (if (result i32) (local.get 0)
               (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))
           (func $fill (param i32)
             (if (local.get 0)
               (then (call $fill (i32.sub (local.get 0) (i32.const 1))))
               (else (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x10000)))))
           (func (export \"run\") {body}) (export \"never\" (func $never)))"
    )
}

#[test]
fn every_kind_of_endless_loop_is_ended_again_and_again() {
    for body in ENDLESS {
        let (engine, module) = module(&endless(body));
        let signals = Signals::start(&[&module]).unwrap().expect("a trap to go to");
        for _ in 0..20 {
            assert!(run(&engine, &module, &signals, Duration::from_millis(3)), "{body}");
        }
    }
}

#[test]
fn calls_that_end_in_time_are_left_alone() {
    let (engine, module) = module(&endless("(drop (call $deep (i32.const 10)))"));
    let signals = Signals::start(&[&module]).unwrap().unwrap();
    for _ in 0..1000 {
        assert!(!run(&engine, &module, &signals, Duration::from_secs(60)));
    }
}

#[test]
fn renders_on_many_threads_each_end_by_their_own_limit() {
    let (engine, module) = module(&endless(ENDLESS[4]));
    let signals = Signals::start(&[&module]).unwrap().unwrap();
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
fn a_module_without_a_trap_instruction_is_rejected() {
    let (_, module) = module("(module (func (export \"run\") (loop br 0)))");
    assert!(Signals::start(&[&module]).unwrap().is_none());
}

#[test]
fn a_stray_signal_does_nothing() {
    let (engine, module) = module(&endless("(drop (call $deep (i32.const 1000)))"));
    let signals = Signals::start(&[&module]).unwrap().unwrap();
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
