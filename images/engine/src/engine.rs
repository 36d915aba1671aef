//! A site in the engine: evaluated once, then called for each request.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Exception, Function, Module, Object, Persistent, Promise,
    Runtime, TypedArray, Value,
    loader::{ImportAttributes, Loader, Resolver},
    module::{Declared, Evaluated},
    promise::PromiseState,
};

use crate::fields::Fields;
use crate::{host, native};

/// The web APIs, bundled by `npm run build` in `images/engine`.
const WEB_APIS: &str = include_str!(concat!(env!("OUT_DIR"), "/web-apis/dist/web-apis.js"));

/// How much of the C stack JavaScript may use, in bytes: what is beyond is a RangeError, which
/// a page can catch. `scripts/build-engine.sh` makes the stack larger, for functions of the
/// engine that do not look at the limit.
const STACK: usize = 3 << 20;

/// How many bytes a request may allocate before the cycle collector runs. A
/// collection writes to every object of the snapshot, so typical requests avoid it.
const GARBAGE_BEFORE_COLLECTION: usize = 16 << 20;

/// Why the site could not be evaluated or a request could not be answered.
#[derive(Debug)]
pub struct Failure {
    kind: u32,
    message: String,
    stack: String,
}

impl Failure {
    /// Reports the failure to the host.
    pub fn report(&self) {
        host::fail(self.kind, &self.message, &self.stack);
    }

    fn threw(message: impl Into<String>) -> Self {
        Self { kind: host::THREW, message: message.into(), stack: String::new() }
    }

    fn stalled(message: impl Into<String>) -> Self {
        Self { kind: host::STALLED, message: message.into(), stack: String::new() }
    }
}

thread_local! {
    /// Rejected promises that are not handled yet, with the reasons of their rejection.
    static UNHANDLED: RefCell<Vec<(Persistent<Value<'static>>, Persistent<Value<'static>>)>> =
        const { RefCell::new(Vec::new()) };
}

/// A site whose module has been evaluated.
pub struct Site {
    /// Never torn down: the whole instance is discarded instead.
    context: ManuallyDrop<Context>,
    answer: Persistent<Function<'static>>,
    apis: Persistent<Object<'static>>,
}

impl Site {
    /// Evaluates the ES module `source`, named `name` in stack traces, and looks
    /// up its exports. `template` is the index.html that `render` fills.
    pub fn evaluate(name: &str, source: &str, template: Option<&str>) -> Result<Self, Failure> {
        let internal =
            |error: rquickjs::Error| Failure::threw(format!("cannot start the JavaScript engine: {error}"));
        let runtime = new_runtime().map_err(internal)?;
        runtime.set_max_stack_size(STACK);
        runtime.set_loader(OneModule, OneModule);
        runtime.set_host_promise_rejection_tracker(Some(Box::new(track_rejection)));
        let context = ManuallyDrop::new(Context::full(&runtime).map_err(internal)?);
        let (answer, apis) = context.with(|ctx| {
            let apis = install_web_apis(&ctx).catch(&ctx).map_err(|error| describe(&ctx, None, error))?;
            let answer = evaluate_site(&ctx, &apis, name, source, template)?;
            Ok((Persistent::save(&ctx, answer), Persistent::save(&ctx, apis)))
        })?;
        runtime.run_gc();
        #[cfg(target_arch = "wasm32")]
        // SAFETY: the context's runtime is live, and `new_runtime` made it use `EngineAllocator`.
        unsafe {
            crate::engine_allocator::fill_engine_arenas(context.get_runtime_ptr());
        }
        let live = usize::try_from(runtime.memory_usage().malloc_size).unwrap_or(0);
        runtime.set_gc_threshold(live + GARBAGE_BEFORE_COLLECTION);
        native::reset();
        Ok(Self { context, answer, apis })
    }

    /// Answers the request that `fields` describe; see `ssr_render` for their order.
    pub fn answer(&self, fields: &mut Fields<'_>) -> Result<(), Failure> {
        native::reset();
        native::start_clock();
        self.context.with(|ctx| {
            let apis = self.apis.clone().restore(&ctx).map_err(|error| Failure::threw(error.to_string()))?;
            self.call(&ctx, &apis, fields)?;
            report_unhandled(&ctx, &apis);
            Ok(())
        })
    }

    fn call<'js>(&self, ctx: &Ctx<'js>, apis: &Object<'js>, fields: &mut Fields<'_>) -> Result<(), Failure> {
        let mut started = || -> rquickjs::Result<Value<'js>> {
            let answer = self.answer.clone().restore(ctx)?;
            let (method, url, path, headers) = (fields.text(), fields.text(), fields.text(), fields.text());
            let body = match fields.optional_bytes() {
                Some(bytes) => TypedArray::<u8>::new_copy(ctx.clone(), bytes)?.into_value(),
                None => Value::new_null(ctx.clone()),
            };
            let env = fields.text();
            answer.call((&*method, &*url, &*path, &*headers, body, &*env))
        };
        let result = started().catch(ctx).map_err(|error| describe(ctx, Some(apis), error))?;
        match result.into_promise() {
            Some(promise) => settle(ctx, apis, &promise, "the page awaits a promise that will never settle"),
            None => Ok(()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
fn new_runtime() -> rquickjs::Result<Runtime> {
    Runtime::new_with_alloc(crate::engine_allocator::EngineAllocator)
}

#[cfg(not(target_arch = "wasm32"))]
fn new_runtime() -> rquickjs::Result<Runtime> {
    Runtime::new()
}

fn install_web_apis<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    let (module, loaded) = Module::declare(ctx.clone(), "ssr:web-apis", WEB_APIS)?.eval()?;
    loaded.finish::<()>()?;
    let install: Function = module.get("install")?;
    install.call((native::object(ctx)?,))
}

fn evaluate_site<'js>(
    ctx: &Ctx<'js>,
    apis: &Object<'js>,
    name: &str,
    source: &str,
    template: Option<&str>,
) -> Result<Function<'js>, Failure> {
    let fail = |error: CaughtError<'js>| describe(ctx, Some(apis), error);
    let evaluate = || -> rquickjs::Result<(Module<'js, Evaluated>, Promise<'js>)> {
        let module = Module::declare(ctx.clone(), name, source)?;
        module.meta()?.set("url", format!("file:///{name}"))?;
        module.eval()
    };
    let (module, loaded) = evaluate().catch(ctx).map_err(fail)?;
    settle(ctx, apis, &loaded, "the module awaits a promise at its top level that will never settle")?;
    let make = || -> rquickjs::Result<Function<'js>> {
        let make_site: Function = apis.get("makeSite")?;
        make_site.call((module.namespace()?, template))
    };
    let answer = make().catch(ctx).map_err(fail)?;
    let clear: Function = apis.get("clearTimers").map_err(|e| Failure::threw(e.to_string()))?;
    let timers: u32 = clear.call(()).catch(ctx).map_err(fail)?;
    if timers > 0 {
        host::log(
            host::WARN,
            &format!(
                "dropped {timers} timer(s) that the module started while it loaded: each request starts from the \
                 snapshot taken at build time, where no timers run"
            ),
        );
    }
    report_unhandled(ctx, apis);
    Ok(answer)
}

/// Runs promise jobs and timers until `promise` settles. Fails with `stalled` if
/// none are left while it is still pending.
fn settle<'js>(
    ctx: &Ctx<'js>,
    apis: &Object<'js>,
    promise: &Promise<'js>,
    stalled: &str,
) -> Result<(), Failure> {
    let fail = |error: CaughtError<'js>| describe(ctx, Some(apis), error);
    let run_timers: Function = apis.get("runTimers").map_err(|e| Failure::threw(e.to_string()))?;
    loop {
        while ctx.execute_pending_job() {}
        match promise.state() {
            PromiseState::Pending => {}
            PromiseState::Resolved => return Ok(()),
            PromiseState::Rejected => {
                return match promise.result::<Value>() {
                    Some(result) => result.catch(ctx).map(|_| ()).map_err(fail),
                    None => Ok(()),
                };
            }
        }
        let wait: f64 = run_timers.call(()).catch(ctx).map_err(fail)?;
        if wait < 0.0 {
            return Err(Failure::stalled(stalled));
        }
        if wait > 0.0 {
            host::sleep(wait);
        }
    }
}

fn track_rejection<'js>(ctx: Ctx<'js>, promise: Value<'js>, reason: Value<'js>, is_handled: bool) {
    let promise = Persistent::save(&ctx, promise);
    UNHANDLED.with_borrow_mut(|unhandled| {
        if is_handled {
            unhandled.retain(|(known, _)| *known != promise);
        } else {
            unhandled.push((promise, Persistent::save(&ctx, reason)));
        }
    });
}

/// Logs rejections that were never handled; these errors would be lost otherwise.
fn report_unhandled<'js>(ctx: &Ctx<'js>, apis: &Object<'js>) {
    for (_, reason) in UNHANDLED.take() {
        if let Ok(reason) = reason.restore(ctx) {
            let Failure { message, stack, .. } = describe(ctx, Some(apis), CaughtError::Value(reason));
            host::log(host::ERROR, &format!("unhandled promise rejection: {message}\n{stack}"));
        }
    }
}

/// Turns an error into its message and stack. The web APIs format them; if those
/// failed to load, the engine's own text is used.
fn describe<'js>(ctx: &Ctx<'js>, apis: Option<&Object<'js>>, error: CaughtError<'js>) -> Failure {
    let fallback = error.to_string();
    let thrown = match error {
        CaughtError::Exception(exception) => exception.into_value(),
        CaughtError::Value(value) => value,
        CaughtError::Error(error) => return Failure::threw(error.to_string()),
    };
    let described = apis.and_then(|apis| {
        let describe: Function = apis.get("describeThrown").ok()?;
        let parts: Vec<rquickjs::String> = describe.call((thrown,)).catch(ctx).ok()?;
        let mut parts =
            parts.into_iter().map(|part| native::with_utf8(part, str::to_owned).unwrap_or_default());
        Some((parts.next()?, parts.next()?))
    });
    let (message, stack) = described.unwrap_or((fallback, String::new()));
    Failure { kind: host::THREW, message, stack }
}

/// The loader of a site, which is a single module: any import is an error of its build.
struct OneModule;

impl Resolver for OneModule {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        _base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        let advice = if name.starts_with("node:") {
            "Node's built-in modules are not available: use web APIs instead"
        } else {
            "bundle everything into one file (Vite: `ssr: { noExternal: true }` and `build.rollupOptions.output.codeSplitting: false`)"
        };
        Err(Exception::throw_message(
            ctx,
            &format!("the module imports '{name}', which is not in the bundle: {advice}"),
        ))
    }
}

impl Loader for OneModule {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        Err(Exception::throw_message(ctx, &format!("the module '{name}' cannot be loaded")))
    }
}
