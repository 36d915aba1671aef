//! HTTP for a component that exports `wasi:http/incoming-handler`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The environment variable that tells runwasi's shim where to listen.
const ADDRESS: &str = "WASMTIME_HTTP_PROXY_SOCKET_ADDR";

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

struct Handler {
    component: ProxyPre<State>,
    env: Vec<(String, String)>,
}

impl Handler {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>> {
        let state = State {
            wasi: WasiCtx::builder().envs(&self.env).build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(self.component.engine(), state);
        let (sender, receiver) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let instance = self.component.instantiate_async(&mut store).await?;
        // The handler continues after it has sent the head of its response.
        tokio::spawn(async move {
            let handler = instance.wasi_http_incoming_handler();
            if let Err(error) = handler.call_handle(store, request, out).await {
                eprintln!("stockwasmtime: {error:#}");
            }
        });
        Ok(receiver.await.context("the component sent no response")??)
    }
}

/// Serves until SIGTERM or SIGINT, and returns the exit code.
pub async fn serve(component: &Component, mut env: Vec<(String, String)>) -> Result<i32> {
    let address = env.iter().position(|(name, _)| name == ADDRESS).map(|at| env.swap_remove(at).1);
    let address: SocketAddr = address.as_deref().unwrap_or("0.0.0.0:8080").parse().context(ADDRESS)?;
    let mut linker = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let component = ProxyPre::new(linker.instantiate_pre(component)?)?;
    let handler = Arc::new(Handler { component, env });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = terminate.recv() => return Ok(0),
            _ = interrupt.recv() => return Ok(0),
        };
        let handler = handler.clone();
        let service = service_fn(move |request| handler.clone().handle(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
