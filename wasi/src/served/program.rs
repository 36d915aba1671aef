//! A program that runs anew for each request.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::try_join;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::component::Component;
use wasmtime::{Engine, Instance, InstancePre, Linker, Module, Store, StoreLimitsBuilder};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

use super::fiber::{self, Ending};
use super::machine::{Machine, in_engine};
use super::{Part, internal, need_fibers, time_limit_of};
use crate::component::{self, Mapping};
use crate::core_module::{self, INITIALIZE, START, Waiting, check_function, exit_code};
use crate::grants::{Grants, Network};
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::code_source::Code;
use ssr_wasm::detect::{Kind, javy_plugin};
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::interrupt::TimeLimit;
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

/// How a run is made.
enum Run {
    Core(CoreModule),
    Component(component::Command),
}

/// How an instance of a core module is made.
enum CoreModule {
    Alone(InstancePre<core_module::State>),
    /// With another module's exports among its imports.
    WithPlugin {
        module: Module,
        linker: Linker<core_module::State>,
        plugin_name: String,
        plugin: InstancePre<core_module::State>,
    },
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

impl Program {
    /// Loads compiled code, or compiles.
    ///
    /// # Errors
    /// If the module is no command, does not compile, or needs what is not there.
    pub(super) fn load(main: Part, find: &mut FindPlugin<'_>, limits: &Limits) -> Result<Self, LoadError> {
        need_fibers()?;
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
        let (loaded, plugin) = match main.kind.is_component() {
            true => (Loaded::component(&main, limits)?, None),
            false => {
                let machine = Machine::<Module>::load(&main.source.code, &main.kind, limits)?;
                let name = javy_plugin(&machine.code);
                let plugin = name.map(|name| Ok((name.to_owned(), find(name)?))).transpose()?;
                (Loaded::core(machine, plugin.as_ref(), limits)?, plugin)
            }
        };
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
        let Some(Run::Core(core)) = loaded.as_ref().map(|loaded| &loaded.start) else {
            return match function {
                Some(function) => Err(LoadError::Module(format!(
                    "'{function}' cannot be called: of a component only wasi:cli/run can"
                ))),
                None => Ok(()),
            };
        };
        check_function(core.module(), function.unwrap_or(START), function.is_some())
            .map_err(LoadError::Module)
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
        let (main, limits) = (&self.main, &self.limits);
        let again = match main.kind.is_component() {
            true => Loaded::component(main, limits),
            false => Machine::load(&main.source.code, &main.kind, limits)
                .and_then(|machine| Loaded::core(machine, self.plugin.as_ref(), limits)),
        };
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
        let limits = &self.limits;
        match &loaded.start {
            Run::Component(command) => {
                let store = component_store(&loaded.engine, context, limits);
                let call = async |store: &mut Store<_>| command.run(store).await;
                self.on_fiber(runtime, &loaded, store, call, output, meanwhile)
            }
            Run::Core(core) => {
                let store = core_store(&loaded.engine, context, limits);
                let name = function.unwrap_or(START);
                let call = async |store: &mut Store<_>| core.call(store, name).await.map(|()| 0);
                self.on_fiber(runtime, &loaded, store, call, output, meanwhile)
            }
        }
    }

    fn on_fiber<T: 'static, R>(
        &self,
        runtime: &Handle,
        loaded: &Loaded,
        store: Store<T>,
        call: impl AsyncFnOnce(&mut Store<T>) -> wasmtime::Result<u8>,
        output: impl StdoutStream,
        meanwhile: impl Future<Output = Result<R, RenderError>>,
    ) -> Result<(u8, R), RenderError> {
        fiber::run(runtime, &loaded.time_limit, store, self.limits.render_timeout, |mut store| async move {
            let ran = async {
                let ended = call(&mut store).await;
                ended_with(ended, store, output).await
            };
            try_join(ran, async { meanwhile.await.map_err(Ending::Render) }).await
        })
    }

    /// Frees the memory that runs have used. Does nothing if it was compiled in this process.
    pub(super) fn unload(&self) {
        if matches!(self.main.source.code, Code::Compiled(_)) {
            *self.loaded.lock() = None;
            memory_trim::trim_when_idle();
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
    // Programs have no wasi:http.
    let state = component::State::new(context.build(), Network::default(), memory_limits(limits));
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store
}

impl CoreModule {
    fn module(&self) -> &Module {
        match self {
            Self::Alone(instance) => instance.module(),
            Self::WithPlugin { module, .. } => module,
        }
    }

    /// Calls a function in an instance of its own.
    async fn call(&self, store: &mut Store<core_module::State>, name: &str) -> wasmtime::Result<()> {
        let instance = match self {
            Self::Alone(instance) => instance.instantiate_async(&mut *store).await?,
            Self::WithPlugin { module, linker, plugin_name, plugin } => {
                let plugin = plugin.instantiate_async(&mut *store).await?;
                initialize(store, plugin).await?;
                let mut linker = linker.clone();
                linker.instance(&mut *store, plugin_name, plugin)?;
                linker.instantiate_async(&mut *store, module).await?
            }
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

fn unlinked(error: wasmtime::Error) -> LoadError {
    LoadError::Module(format!("{error:#}"))
}

impl Loaded {
    fn component(part: &Part, limits: &Limits) -> Result<Self, LoadError> {
        let machine = Machine::<Component>::load(&part.source.code, &part.kind, limits)?;
        let Machine { engine, code: component, interruption, mapping } = machine;
        let command = component::Command::link(&component).map_err(unlinked)?;
        let time_limit = time_limit_of(TimeLimit::start_for_component(&engine, &component, interruption))?;
        Ok(Self { engine, start: Run::Component(command), time_limit, _code: mapping })
    }

    fn core(
        machine: Machine<Module>,
        plugin: Option<&(String, Part)>,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let Machine { engine, code: module, interruption, mapping } = machine;
        let linker = core_module::linker(&engine, Waiting::OnFiber).map_err(internal)?;
        let (core, time_limit) = match plugin {
            None => {
                let instance = linker.instantiate_pre(&module).map_err(unlinked)?;
                (CoreModule::Alone(instance), TimeLimit::start(&engine, &[&module], interruption))
            }
            Some((name, part)) => {
                // A module has a mapping of its own.
                let (library, _) =
                    in_engine::<Module>(&engine, &part.source.code, &part.kind, interruption, limits)?;
                let time_limit = TimeLimit::start(&engine, &[&module, &library], interruption);
                let plugin = linker.instantiate_pre(&library).map_err(unlinked)?;
                let plugin_name = name.clone();
                (CoreModule::WithPlugin { module, linker, plugin_name, plugin }, time_limit)
            }
        };
        let time_limit = time_limit_of(time_limit)?;
        Ok(Self { engine, start: Run::Core(core), time_limit, _code: mapping })
    }
}
