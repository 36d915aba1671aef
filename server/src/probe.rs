//! The health client: asks a server in the same environment whether it is healthy.
//! Health checks and exec probes of containers run it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::ServeError;
use crate::settings::Settings;

/// What the client calls itself.
pub const USER_AGENT: &str = "ssr-health";

/// Longest time for the server to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code for an unhealthy server.
const UNHEALTHY: u8 = 1;

/// Requests the page that `args` name, or `/`. Returns the exit code: 0 if the server
/// answers with a status below 500, otherwise 1 with the reason on standard error.
pub fn run(args: &[String], env: &[(String, String)]) -> u8 {
    let path = match args {
        [] => "/",
        [path] if path.starts_with('/') => path,
        _ => {
            eprintln!("ssr: health takes at most one path that begins with a slash, such as /about");
            return ServeError::Usage(String::new()).exit_code();
        }
    };
    let settings = match Settings::from_env(env) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ssr: {error}");
            return ServeError::Setting(error).exit_code();
        }
    };
    let address = reachable(settings.listen);
    match ask(address, path) {
        Ok(status) if !status.is_server_error() => 0,
        Ok(status) => {
            eprintln!("ssr: the server at {address} answered {path} with {status}");
            UNHEALTHY
        }
        Err(error) => {
            eprintln!("ssr: the server at {address} did not answer {path}: {error}");
            UNHEALTHY
        }
    }
}

/// The address at which a server is reachable from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        // Which [::] includes, even where there is no IPv6.
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, path: &str) -> Result<StatusCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        match tokio::time::timeout(TIMEOUT, get(address, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    })
}

async fn get(address: SocketAddr, path: &str) -> Result<StatusCode, String> {
    let connection = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut client, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        // Without the zone of a link-local address, which a Host cannot have.
        .header(header::HOST, SocketAddr::new(address.ip(), address.port()).to_string())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    let response = client.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    // A page that breaks off is no answer.
    response.into_body().collect().await.map_err(|error| format!("the page broke off: {error}"))?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:80"), "127.0.0.1:80");
        assert_eq!(asked("10.1.2.3:3000"), "10.1.2.3:3000");
    }

    #[test]
    fn no_server_is_unhealthy_and_a_bad_argument_a_usage_error() {
        let listen = |address: &str| [("SSR_LISTEN".to_owned(), address.to_owned())];
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(run(&[], &listen(&free.to_string())), 1);
        assert_eq!(run(&["about".to_owned()], &[]), 64);
        assert_eq!(run(&[], &listen("nowhere")), 78);
    }
}
