//! HTTP requests that a component makes itself.

use std::future::Future;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::grants::Network;

/// Lets those through that the network allows.
pub(crate) struct Outgoing(pub(crate) Network);

/// How a request is on its way.
type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Connection,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Connection), Error>> + Send> {
        let uri = request.uri();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let host = uri.host().unwrap_or_default().to_owned();
        let allowed = self.0.allows(&host, port);
        Box::new(async move {
            if !allowed {
                log::warn!("a request to {host}:{port} was refused: SSR_NETWORK does not name it");
                return Err(Error::HttpRequestDenied);
            }
            let (response, connection) = wasmtime_wasi_http::default_send_request(request, options).await?;
            Ok((response.map(|body| body.boxed_unsync()), Box::new(connection) as Connection))
        })
    }
}
