//! WASI commands: programs that run once.

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Store, StoreLimits, StoreLimitsBuilder};

use crate::FIBERS_WORK;
use crate::component::{self, Mapping};
use crate::core_module::{self, INITIALIZE, START, Waiting, exit_code};
use crate::grants::{DirectoryError, Grants};
use ssr_wasm::code_source::Code;
use ssr_wasm::compile::{CompiledCode, does_not_compile};
use ssr_wasm::detect::{self, Kind, javy_plugin};
use ssr_wasm::engine::{self, WASM_STACK};
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::interrupt::Interruption;

/// Stack for the host's own frames below WebAssembly's, in bytes.
const HOST_STACK: usize = 1 << 20;

/// Exit code of a program that trapped: that of a process that aborts, as wasmtime's own
/// command line has it.
const ABORTED: u8 = 134;

/// A loaded command. Its code is dropped after it.
pub struct Command {
    program: Program,
    _code: Option<Mapping>,
}

enum Program {
    Core(Module),
    Component(Component),
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(u8),
    /// It trapped: why and where.
    Trapped(String),
}

impl Ended {
    /// The exit code of a process that runs nothing but the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::Trapped(_) => ABORTED,
        }
    }
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The module is at fault: what is wrong and what to do.
    #[error("{0}")]
    Module(String),
    /// A directory is missing.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The engine or the system failed.
    #[error("{0}")]
    Internal(String),
}

fn internal(error: wasmtime::Error) -> LoadError {
    LoadError::Internal(format!("{error:#}"))
}

impl Command {
    /// Loads compiled code of this kind, or compiles.
    ///
    /// # Errors
    /// If the module is none of these kinds, or does not compile.
    pub fn load(code: Code, kind: &Kind) -> Result<Self, LoadError> {
        match code {
            Code::Compiled(code) => Self::map(&code, kind),
            Code::Bytes(bytes) => Self::compile(&bytes),
        }
    }

    fn map(code: &CompiledCode, kind: &Kind) -> Result<Self, LoadError> {
        let engine = engine::for_commands(kind.form(), code.interruption).map_err(internal)?;
        // SAFETY: the file was written by this binary's own compiler and reached this process
        // by way of a directory that only the node's administrator can write to.
        unsafe {
            if kind.is_component() {
                let (component, code) = component::map(&engine, &code.file).map_err(internal)?;
                return Ok(Self { program: Program::Component(component), _code: Some(code) });
            }
            let file = code.file.try_clone().map_err(|error| LoadError::Internal(error.to_string()))?;
            let module = Module::deserialize_open_file(&engine, file).map_err(internal)?;
            Ok(Self { program: Program::Core(module), _code: None })
        }
    }

    fn compile(bytes: &[u8]) -> Result<Self, LoadError> {
        let kind = detect::check(bytes).map_err(LoadError::Module)?;
        let engine = engine::for_commands(kind.form(), Interruption::None).map_err(internal)?;
        match kind.is_component() {
            true => Component::from_binary(&engine, bytes).map(Program::Component),
            false => Module::from_binary(&engine, bytes).map(Program::Core),
        }
        .map(|program| Self { program, _code: None })
        .map_err(|error| LoadError::Module(does_not_compile(&error, &kind)))
    }

    /// Runs it with this process's standard streams, in a thread of its own, until it ends.
    /// `function` is an export to call instead of the command's own.
    pub fn run(self, grants: &Grants, function: Option<&str>) -> Result<Ended, RunError> {
        let failed = |error: std::io::Error| {
            RunError::Internal(format!(
                "cannot start a thread ({error}): the container's pids limit may be too low"
            ))
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("ssr-command".to_owned())
                .stack_size(WASM_STACK + HOST_STACK)
                .spawn_scoped(scope, || self.program.run(grants, function))
                .map_err(failed)?;
            thread.join().unwrap_or_else(|_| Err(RunError::Internal("the host panicked".to_owned())))
        })
    }
}

impl Program {
    fn run(&self, grants: &Grants, function: Option<&str>) -> Result<Ended, RunError> {
        let mut context = grants.context()?;
        // The thread has nothing else to do.
        context.inherit_stdio().allow_blocking_current_thread(true);
        let mut limits = StoreLimitsBuilder::new();
        if let Some(limit) = grants.memory_limit {
            limits = limits.memory_size(limit);
        }
        let limits = limits.build();
        match self {
            Self::Core(module) => {
                let state = core_module::State { context: context.build_p1(), limits };
                run_core(module, state, function)
            }
            Self::Component(component) => {
                let state = component::State::new(context.build(), grants.network.clone(), limits);
                run_component(component, state, function)
            }
        }
    }
}

fn store<T: 'static>(engine: &Engine, state: T, limits: fn(&mut T) -> &mut StoreLimits) -> Store<T> {
    let mut store = Store::new(engine, state);
    store.limiter(move |state| limits(state));
    // Code that checks epochs runs as long as it likes, too.
    store.set_epoch_deadline(u64::MAX / 2);
    store
}

fn run_core(module: &Module, state: core_module::State, function: Option<&str>) -> Result<Ended, RunError> {
    let engine = module.engine();
    if let Some(plugin) = javy_plugin(module) {
        return Err(RunError::Module(format!(
            "it is a dynamically linked Javy module and needs the plugin {plugin}: put it beside the module as \
             {plugin}.wasm and serve both with SSR_GUEST=javy, or build the module without -C dynamic"
        )));
    }
    let linker = core_module::linker(engine, Waiting::Blocking)
        .map_err(|error| RunError::Internal(format!("{error:#}")))?;
    let instance = linker.instantiate_pre(module).map_err(|error| RunError::Module(format!("{error:#}")))?;
    let name = function.unwrap_or(START);
    core_module::check_function(module, name, function.is_some()).map_err(RunError::Module)?;
    let mut store = store(engine, state, |state| &mut state.limits);
    let result = instance.instantiate(&mut store).and_then(|instance| {
        if name != START
            && let Some(initialize) = instance.get_func(&mut store, INITIALIZE)
        {
            initialize.call(&mut store, &[], &mut [])?;
        }
        let called =
            instance.get_func(&mut store, name).ok_or_else(|| wasmtime::Error::msg("no function"))?;
        let mut results = vec![wasmtime::Val::I32(0); called.ty(&store).results().len()];
        called.call(&mut store, &[], &mut results)
    });
    Ok(ended(result))
}

fn run_component(
    component: &Component,
    state: component::State,
    function: Option<&str>,
) -> Result<Ended, RunError> {
    if let Some(function) = function {
        return Err(RunError::Module(format!(
            "'{function}' cannot be called: of a component only wasi:cli/run can"
        )));
    }
    if !FIBERS_WORK {
        let reason = "it is a component, which this build for 32-bit ARM cannot run: it lacks the patch of wasmtime's \
                      fibers";
        return Err(RunError::Module(reason.to_owned()));
    }
    let command =
        component::Command::link(component).map_err(|error| RunError::Module(format!("{error:#}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| RunError::Internal(error.to_string()))?;
    let mut store = store(component.engine(), state, |state| &mut state.limits);
    match runtime.block_on(command.run(&mut store)) {
        Ok(code) => Ok(Ended::Exited(code)),
        Err(error) => Ok(ended(Err(error))),
    }
}

fn ended(result: wasmtime::Result<()>) -> Ended {
    match result {
        Ok(()) => Ended::Exited(0),
        Err(error) => match exit_code(&error) {
            Some(code) => Ended::Exited(code),
            None => Ended::Trapped(format!("{error:?}")),
        },
    }
}
