//! A program that runs anew for each request.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::try_join;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Engine, Instance, InstancePre, Linker, Module, Store, StoreLimitsBuilder};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

use super::fiber::{self, Ending};
use super::{Part, internal, refuse_32_bit_arm, time_limit_of};
use crate::component::{self, Mapping};
use crate::core_module::{self, INITIALIZE, START, Waiting, check_function, exit_code};
use crate::grants::Grants;
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::code_source::Code;
use ssr_wasm::compile::does_not_compile;
use ssr_wasm::detect::{self, Kind, javy_plugin};
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::interrupt::{Interruption, TimeLimit};
use ssr_wasm::limits::Limits;
use ssr_wasm::{engine, memory_trim};

/// Finds the plugin of this name, which a dynamically linked module needs.
pub type FindPlugin<'a> = dyn FnMut(&str) -> Result<Part, LoadError> + 'a;

/// A program.
pub(super) struct Program {
    limits: Limits,
    main: Part,
    /// What the main module needs besides, by the name that it imports.
    plugin: Option<(String, Part)>,
    backend: &'static str,
    /// `None` while it is unloaded.
    loaded: Mutex<Option<Arc<Loaded>>>,
}

struct Loaded {
    engine: Engine,
    start: Run,
    time_limit: TimeLimit,
    /// Dropped after what is made of it.
    _code: Option<Mapping>,
}

/// How an instance is made.
enum Run {
    Core(InstancePre<core_module::State>),
    /// With another module's exports among its imports.
    WithPlugin {
        module: Module,
        linker: Linker<core_module::State>,
        plugin_name: String,
        plugin: InstancePre<core_module::State>,
    },
    Component(component::Command),
}

/// What a run gets.
pub(super) struct Call<'a, O> {
    /// Its arguments, environment and directories.
    pub(super) grants: &'a Grants,
    /// An export to call instead of the program's own.
    pub(super) function: Option<&'a str>,
    /// Standard input.
    pub(super) input: MemoryInputPipe,
    /// Standard output.
    pub(super) output: O,
    /// Standard error; without it, this process's.
    pub(super) errors: Option<MemoryOutputPipe>,
}

/// A module's code, ready to be linked.
struct Machine {
    engine: Engine,
    code: MachineCode,
    interruption: Interruption,
    mapping: Option<Mapping>,
}

enum MachineCode {
    Core(Module),
    Component(Component),
}

impl Program {
    /// Loads compiled code, or compiles.
    ///
    /// # Errors
    /// If the module is no command, does not compile, or needs what is not there.
    pub(super) fn load(main: Part, find: &mut FindPlugin<'_>, limits: &Limits) -> Result<Self, LoadError> {
        refuse_32_bit_arm()?;
        let instead = match &main.kind {
            Kind::Command | Kind::CommandComponent => None,
            Kind::Site(_) => Some("a site"),
            Kind::Handler => Some("a component that answers requests itself"),
        };
        if let Some(what) = instead {
            return Err(LoadError::Module(format!(
                "it is {what}, no program that runs for each request: leave SSR_GUEST away"
            )));
        }
        let machine = Machine::of(&main, limits)?;
        let plugin = machine.plugin().map(|name| Ok((name.to_owned(), find(name)?))).transpose()?;
        let loaded = Loaded::link(machine, plugin.as_ref(), limits)?;
        Ok(Self {
            limits: limits.clone(),
            main,
            plugin,
            backend: engine::backend(&loaded.engine),
            loaded: Mutex::new(Some(Arc::new(loaded))),
        })
    }

    /// The back end's name.
    pub(super) fn backend(&self) -> &'static str {
        self.backend
    }

    /// Checks that a run has something to call; without `function`, the program's own start.
    pub(super) fn check(&self, function: Option<&str>) -> Result<(), LoadError> {
        let loaded = self.loaded.lock();
        let module = match loaded.as_ref().map(|loaded| &loaded.start) {
            Some(Run::Core(instance)) => instance.module(),
            Some(Run::WithPlugin { module, .. }) => module,
            Some(Run::Component(_)) | None => {
                return match function {
                    Some(function) => Err(LoadError::Module(format!(
                        "'{function}' cannot be called: of a component only wasi:cli/run can"
                    ))),
                    None => Ok(()),
                };
            }
        };
        check_function(module, function.unwrap_or(START), function.is_some()).map_err(LoadError::Module)
    }

    /// Whether it has this function.
    pub(super) fn has(&self, function: &str) -> bool {
        !self.main.kind.is_component() && self.check(Some(function)).is_ok()
    }

    fn loaded(&self) -> Result<Arc<Loaded>, RenderError> {
        let mut loaded = self.loaded.lock();
        if let Some(loaded) = &*loaded {
            return Ok(Arc::clone(loaded));
        }
        let again = Machine::of(&self.main, &self.limits)
            .and_then(|machine| Loaded::link(machine, self.plugin.as_ref(), &self.limits));
        let again = Arc::new(again.map_err(|error| RenderError::NotLoaded(error.to_string()))?);
        Ok(Arc::clone(loaded.insert(again)))
    }

    /// Runs it on this thread, while `meanwhile` reads its output. Returns its exit code, and
    /// what `meanwhile` does.
    pub(super) fn run<O: StdoutStream + Clone + Sync + 'static, R>(
        &self,
        runtime: &Handle,
        call: Call<'_, O>,
        meanwhile: impl Future<Output = Result<R, RenderError>>,
    ) -> Result<(u8, R), RenderError> {
        let loaded = self.loaded()?;
        let Call { grants, function, input, output, errors } = call;
        let mut context = grants.context().map_err(|error| RenderError::NotLoaded(error.to_string()))?;
        context.stdin(input).stdout(output.clone());
        match errors {
            Some(errors) => context.stderr(errors),
            None => context.inherit_stderr(),
        };
        let (limits, timeout) = (&self.limits, self.limits.render_timeout);
        match &loaded.start {
            Run::Component(command) => {
                let store = component_store(&loaded.engine, context, limits);
                fiber::run(runtime, &loaded.time_limit, store, timeout, |mut store| async move {
                    let ran = async {
                        let ended = command.run(&mut store).await;
                        ended_with(ended, store, output).await
                    };
                    try_join(ran, async { meanwhile.await.map_err(Ending::Render) }).await
                })
            }
            run => {
                let store = core_store(&loaded.engine, context, limits);
                fiber::run(runtime, &loaded.time_limit, store, timeout, |mut store| async move {
                    let ran = async {
                        let ended = run.call(&mut store, function.unwrap_or(START)).await;
                        ended_with(ended.map(|()| 0), store, output).await
                    };
                    try_join(ran, async { meanwhile.await.map_err(Ending::Render) }).await
                })
            }
        }
    }

    /// Frees the memory that runs have used. Does nothing if it was compiled in this process.
    pub(super) fn unload(&self) {
        if matches!(self.main.source.code, Code::Compiled(_)) {
            *self.loaded.lock() = None;
            memory_trim::trim_heap();
        }
    }
}

/// The exit code. Ends the output, so that whoever reads it does not wait for more.
async fn ended_with<T: 'static>(
    ended: wasmtime::Result<u8>,
    store: Store<T>,
    output: impl StdoutStream,
) -> Result<u8, Ending> {
    let mut rest = output.p2_stream();
    if rest.flush().is_ok() {
        rest.ready().await;
    }
    drop((rest, output, store));
    ended.or_else(|error| exit_code(&error).ok_or(Ending::Trapped(error)))
}

fn memory_limits(limits: &Limits) -> wasmtime::StoreLimits {
    StoreLimitsBuilder::new().memory_size(limits.render_memory_limit).build()
}

fn core_store(engine: &Engine, mut context: WasiCtxBuilder, limits: &Limits) -> Store<core_module::State> {
    let state = core_module::State { context: context.build_p1(), limits: memory_limits(limits) };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store
}

fn component_store(engine: &Engine, mut context: WasiCtxBuilder, limits: &Limits) -> Store<component::State> {
    let (context, limits) = (context.build(), memory_limits(limits));
    let mut store = Store::new(engine, component::State { context, table: ResourceTable::new(), limits });
    store.limiter(|state| &mut state.limits);
    store
}

impl Run {
    /// Calls a function of a core module in an instance of its own.
    async fn call(&self, store: &mut Store<core_module::State>, name: &str) -> wasmtime::Result<()> {
        let instance = match self {
            Self::Core(instance) => instance.instantiate_async(&mut *store).await?,
            Self::WithPlugin { module, linker, plugin_name, plugin } => {
                let plugin = plugin.instantiate_async(&mut *store).await?;
                initialize(store, plugin).await?;
                let mut linker = linker.clone();
                linker.instance(&mut *store, plugin_name, plugin)?;
                linker.instantiate_async(&mut *store, module).await?
            }
            Self::Component(_) => return Err(wasmtime::Error::msg("it is a component")),
        };
        if name != START {
            initialize(store, instance).await?;
        }
        let function =
            instance.get_func(&mut *store, name).ok_or_else(|| wasmtime::Error::msg("no such function"))?;
        let mut results = vec![wasmtime::Val::I32(0); function.ty(&*store).results().len()];
        function.call_async(&mut *store, &[], &mut results).await
    }
}

/// Calls what a library has to have called before anything else.
async fn initialize(store: &mut Store<core_module::State>, instance: Instance) -> wasmtime::Result<()> {
    match instance.get_func(&mut *store, INITIALIZE) {
        Some(initialize) => initialize.call_async(&mut *store, &[], &mut []).await,
        None => Ok(()),
    }
}

impl Machine {
    fn of(part: &Part, limits: &Limits) -> Result<Self, LoadError> {
        match &part.source.code {
            Code::Compiled(code) => {
                let interruption = code.interruption;
                let engine =
                    engine::for_handlers(part.kind.form(), interruption, limits).map_err(internal)?;
                if !part.kind.is_component() {
                    let code = MachineCode::Core(module_of(&engine, &part.source.code, &part.kind)?);
                    return Ok(Self { engine, code, interruption, mapping: None });
                }
                // SAFETY: the file was written by this binary's own compiler and reached this
                // process by way of a directory that only the node's administrator can write to.
                let (component, mapping) =
                    unsafe { component::map(&engine, &code.file) }.map_err(internal)?;
                let code = MachineCode::Component(component);
                Ok(Self { engine, code, interruption, mapping: Some(mapping) })
            }
            Code::Bytes(bytes) => {
                let kind = detect::check(bytes).map_err(LoadError::Module)?;
                let cheapest = Interruption::cheapest();
                let machine = Self::compile(bytes, &kind, cheapest, limits)?;
                match machine.suits(cheapest) {
                    true => Ok(machine),
                    false => Self::compile(bytes, &kind, Interruption::Epoch, limits),
                }
            }
        }
    }

    fn compile(
        bytes: &[u8],
        kind: &Kind,
        interruption: Interruption,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let engine = engine::for_handlers(kind.form(), interruption, limits).map_err(internal)?;
        let code = match kind.is_component() {
            true => Component::from_binary(&engine, bytes).map(MachineCode::Component),
            false => Module::from_binary(&engine, bytes).map(MachineCode::Core),
        };
        let code = code.map_err(|error| LoadError::Module(does_not_compile(&error, kind)))?;
        Ok(Self { engine, code, interruption, mapping: None })
    }

    /// Whether its calls can be interrupted so.
    fn suits(&self, interruption: Interruption) -> bool {
        match &self.code {
            MachineCode::Core(module) => TimeLimit::suits_module(module, interruption),
            MachineCode::Component(component) => TimeLimit::suits_component(component, interruption),
        }
    }

    /// The plugin that it needs.
    fn plugin(&self) -> Option<&str> {
        match &self.code {
            MachineCode::Core(module) => javy_plugin(module),
            MachineCode::Component(_) => None,
        }
    }
}

/// A core module in an engine.
fn module_of(engine: &Engine, code: &Code, kind: &Kind) -> Result<Module, LoadError> {
    match code {
        Code::Compiled(code) => {
            let file = code.file.try_clone().map_err(|error| LoadError::Internal(error.to_string()))?;
            // SAFETY: as above.
            unsafe { Module::deserialize_open_file(engine, file) }.map_err(internal)
        }
        Code::Bytes(bytes) => Module::from_binary(engine, bytes)
            .map_err(|error| LoadError::Module(does_not_compile(&error, kind))),
    }
}

impl Loaded {
    fn link(machine: Machine, plugin: Option<&(String, Part)>, limits: &Limits) -> Result<Self, LoadError> {
        let Machine { engine, code, interruption, mapping } = machine;
        let unlinked = |error: wasmtime::Error| LoadError::Module(format!("{error:#}"));
        let enough = |module: &Module| {
            limits
                .check_memory(module.resources_required().max_initial_memory_size)
                .map_err(LoadError::Module)
        };
        let (start, time_limit) = match code {
            MachineCode::Component(component) => {
                let command = component::Command::link(&component).map_err(unlinked)?;
                let started = TimeLimit::start_for_component(&engine, &component, interruption);
                (Run::Component(command), time_limit_of(started)?)
            }
            MachineCode::Core(module) => {
                enough(&module)?;
                let linker = core_module::linker(&engine, Waiting::OnFiber).map_err(internal)?;
                match plugin {
                    None => {
                        let instance = linker.instantiate_pre(&module).map_err(unlinked)?;
                        let started = TimeLimit::start(&engine, &[&module], interruption);
                        (Run::Core(instance), time_limit_of(started)?)
                    }
                    Some((name, part)) => {
                        let library = module_of(&engine, &part.source.code, &part.kind)?;
                        enough(&library)?;
                        let started = TimeLimit::start(&engine, &[&module, &library], interruption);
                        let plugin = linker.instantiate_pre(&library).map_err(unlinked)?;
                        let plugin_name = name.clone();
                        (Run::WithPlugin { module, linker, plugin_name, plugin }, time_limit_of(started)?)
                    }
                }
            }
        };
        Ok(Self { engine, start, time_limit, _code: mapping })
    }
}
