//! Components that answer HTTP requests (`wasi:http/incoming-handler`): a fresh instance for
//! each request.
//!
//! They run on fibers: what waits for the network or a clock leaves the render's time limit a
//! way to end it.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::Component;
use wasmtime::{Engine, Store, StoreLimitsBuilder};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _, p2, p3};

use super::fiber::{self, Ending};
use super::machine::Machine;
use super::{internal, need_fibers, time_limit_of};
use crate::component::{self, Mapping, State};
use crate::grants::Grants;
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::abi::request::{BodyStream, Fields, flatten};
use ssr_wasm::abi::response::{ResponseHead, ResponsePart, ResponseSink};
use ssr_wasm::code_source::Code;
use ssr_wasm::detect::Kind;
use ssr_wasm::guests::Guest;
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::interrupt::TimeLimit;
use ssr_wasm::limits::Limits;
use ssr_wasm::{engine, memory_trim};

/// The interface by which a component of preview 3 is known.
const PREVIEW_3: &str = "wasi:http/handler@0.3.";

/// A component.
pub struct Handler {
    limits: Limits,
    grants: Grants,
    code: Code,
    /// `None` while it is unloaded.
    loaded: Mutex<Option<Arc<Loaded>>>,
}

struct Loaded {
    instance: Instance,
    engine: Engine,
    time_limit: TimeLimit,
    /// Dropped after what is made of it.
    _code: Option<Mapping>,
}

/// How an instance is made.
enum Instance {
    Preview2(ProxyPre<State>),
    Preview3(ServicePre<State>),
}

impl Handler {
    /// Loads compiled code, or compiles. Of `grants` the environment and the network count.
    ///
    /// # Errors
    /// If it does not compile, or needs what is not there.
    pub fn load(code: Code, grants: Grants, limits: &Limits) -> Result<Self, LoadError> {
        need_fibers()?;
        let loaded = Loaded::new(&code, limits)?;
        Ok(Self { limits: limits.clone(), grants, code, loaded: Mutex::new(Some(Arc::new(loaded))) })
    }

    /// The back end's name.
    pub fn backend(&self) -> &'static str {
        self.loaded.lock().as_ref().map_or("", |loaded| engine::backend(&loaded.engine))
    }

    fn loaded(&self) -> Result<Arc<Loaded>, RenderError> {
        let mut loaded = self.loaded.lock();
        if let Some(loaded) = &*loaded {
            return Ok(Arc::clone(loaded));
        }
        let again = Loaded::new(&self.code, &self.limits);
        let again = Arc::new(again.map_err(|error| RenderError::NotLoaded(error.to_string()))?);
        Ok(Arc::clone(loaded.insert(again)))
    }

    fn state(&self) -> Result<State, RenderError> {
        let mut context = self.grants.context().map_err(|error| RenderError::NotLoaded(error.to_string()))?;
        context.inherit_stdout().inherit_stderr();
        let limits = StoreLimitsBuilder::new().memory_size(self.limits.render_memory_limit).build();
        Ok(State::new(context.build(), self.grants.network.clone(), limits))
    }
}

impl Loaded {
    fn new(code: &Code, limits: &Limits) -> Result<Self, LoadError> {
        let machine = Machine::<Component>::load(code, &Kind::Handler, limits)?;
        let Machine { engine, code: component, interruption, mapping } = machine;
        let time_limit = time_limit_of(TimeLimit::start_for_component(&engine, &component, interruption))?;
        let mut linker = component::linker(&engine).map_err(internal)?;
        p2::add_only_http_to_linker_async(&mut linker).map_err(internal)?;
        p3::add_to_linker(&mut linker).map_err(internal)?;
        let instance = linker.instantiate_pre(&component).and_then(|instance| {
            match component::exports(&component, PREVIEW_3) {
                true => ServicePre::new(instance).map(Instance::Preview3),
                false => ProxyPre::new(instance).map(Instance::Preview2),
            }
        });
        let instance = instance.map_err(|error| LoadError::Module(format!("{error:#}")))?;
        Ok(Self { engine, instance, time_limit, _code: mapping })
    }
}

impl Guest for Handler {
    fn render(&self, input: &[u8], mut sink: ResponseSink) -> Result<(), RenderError> {
        let loaded = self.loaded()?;
        let request = request(&Fields::decode(input), sink.body.take())?;
        let mut store = Store::new(&loaded.engine, self.state()?);
        store.limiter(|state| &mut state.limits);
        let runtime = sink.runtime.clone();
        let sink = &sink;
        match &loaded.instance {
            Instance::Preview2(instance) => {
                fiber::run(&runtime, &loaded.time_limit, store, self.limits.render_timeout, |store| {
                    answer_preview_2(instance, store, request, sink)
                })
            }
            Instance::Preview3(instance) => {
                fiber::run(&runtime, &loaded.time_limit, store, self.limits.render_timeout, |store| {
                    answer_preview_3(instance, store, request, sink)
                })
            }
        }
    }

    fn streams_bodies(&self) -> bool {
        true
    }

    /// Does nothing if the code was compiled in this process.
    fn unload(&self) {
        if matches!(self.code, Code::Compiled(_)) {
            *self.loaded.lock() = None;
            memory_trim::trim_when_idle();
        }
    }
}

async fn answer_preview_2(
    instance: &ProxyPre<State>,
    mut store: Store<State>,
    (scheme, request): (Scheme, Request<WasiBody>),
    sink: &ResponseSink,
) -> Result<(), Ending> {
    let (sender, response) = oneshot::channel();
    let answered = async {
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(scheme, request)?;
        let out = http.new_response_outparam(sender)?;
        let proxy = instance.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    };
    let forwarded = async {
        let response = match response.await {
            Ok(Ok(response)) => response,
            Ok(Err(code)) => return Err(answered_with(&code)),
            Err(_) => return Err(RenderError::Incomplete),
        };
        forward(response, sink).await
    };
    // The response goes on its way while the handler still writes its body.
    match select(pin!(answered), pin!(forwarded)).await {
        Either::Left((answered, forwarded)) => {
            answered.map_err(Ending::Trapped)?;
            forwarded.await.map_err(Ending::Render)
        }
        Either::Right((forwarded, answered)) => {
            // Work after the response, or a client that has gone.
            forwarded.map_err(Ending::Render)?;
            answered.await.map_err(Ending::Trapped)
        }
    }
}

/// The component's own tasks run as long as the response is on its way.
async fn answer_preview_3(
    instance: &ServicePre<State>,
    mut store: Store<State>,
    (_, request): (Scheme, Request<WasiBody>),
    sink: &ResponseSink,
) -> Result<(), Ending> {
    let service = instance.instantiate_async(&mut store).await.map_err(Ending::Trapped)?;
    let answered = store.run_concurrent(async |accessor| {
        let request =
            accessor.with(|mut store| p3::Request::from_http(store.data_mut().http().hooks, request).0);
        let response = match service.handle(accessor, request).await.map_err(Ending::Trapped)? {
            Ok(response) => response,
            Err(code) => return Err(Ending::Render(answered_with(&code))),
        };
        let response = accessor.with(|store| response.into_http(store, async { Ok(()) }));
        forward(response.map_err(Ending::Trapped)?, sink).await.map_err(Ending::Render)
    });
    answered.await.map_err(Ending::Trapped)?
}

fn answered_with(code: &impl std::fmt::Debug) -> RenderError {
    let message = format!("the component answered with the error {code:?}");
    RenderError::Threw { message, stack: String::new() }
}

/// The request as the component gets it.
fn request(
    fields: &Fields<'_>,
    body: Option<BodyStream>,
) -> Result<(Scheme, Request<WasiBody>), RenderError> {
    let wrong =
        |error: http::Error| RenderError::Trapped(format!("the request cannot be passed on: {error}"));
    let scheme = if fields.url.starts_with("https:") { Scheme::Https } else { Scheme::Http };
    let body = match body {
        Some(body) => StreamBody::new(stream::unfold(body, |mut body| async {
            let part = body.recv().await?;
            let part = part.map(Frame::data).map_err(|error| {
                log::warn!("a request's body broke off: {error}");
                Error::HttpProtocolError
            });
            Some((part, body))
        }))
        .boxed_unsync(),
        None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
    };
    let mut request = Request::builder().method(fields.method).uri(fields.url);
    for (name, value) in fields.headers() {
        let latin1: Vec<u8> = value.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
        request = request.header(name, latin1);
    }
    Ok((scheme, request.body(body).map_err(wrong)?))
}

/// Sends the response on as it comes.
async fn forward<B>(response: Response<B>, sink: &ResponseSink) -> Result<(), RenderError>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let send = async |part| sink.parts.send(part).await.map_err(|_| RenderError::ClientGone);
    let headers = flatten(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let head = ResponseHead { status: head.status.as_u16().into(), headers };
    let mut head = Some(head);
    // The head goes with the first part of the body, so that a handler that fails before has
    // not answered yet.
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                let Ok(chunk) = frame.into_data() else { continue };
                if head.is_some() && body.is_end_stream() {
                    let whole = head.take().map(|head| ResponsePart::Whole(head, chunk));
                    return send(whole.unwrap_or(ResponsePart::End)).await;
                }
                if let Some(head) = head.take() {
                    send(ResponsePart::Head(head)).await?;
                }
                send(ResponsePart::Chunk(chunk)).await?;
            }
            Some(Err(error)) => {
                return Err(RenderError::Threw {
                    message: format!("the body broke off: {error:?}"),
                    stack: String::new(),
                });
            }
            None => {
                let last = head.take().map(|head| ResponsePart::Whole(head, Bytes::new()));
                return send(last.unwrap_or(ResponsePart::End)).await;
            }
        }
    }
}
