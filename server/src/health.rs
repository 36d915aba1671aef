//! Asks a running server of the same environment whether it is well: what a
//! container's health check and exec probes run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::StartError;
use crate::settings::Settings;

/// The longest that the server may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Exit code of a server that is not well.
const NOT_WELL: u8 = 1;

/// Asks for the page that `args` name, or `/`. Returns the exit code: 0 if the
/// server answers with a status below 500, and 1, after a sentence on standard
/// error, if it does not.
pub fn run(args: &[String], env: &[(String, String)]) -> u8 {
    let path = match args {
        [] => "/",
        [path] if path.starts_with('/') => path,
        _ => {
            eprintln!("ssr: health takes one path that begins with a slash, such as /about; / without it");
            return StartError::Usage(String::new()).exit_code();
        }
    };
    let settings = match Settings::from_env(env) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ssr: {error}");
            return StartError::Setting(error).exit_code();
        }
    };
    let address = reachable(settings.listen);
    match ask(address, path) {
        Ok(status) if !status.is_server_error() => 0,
        Ok(status) => {
            eprintln!("ssr: the server at {address} answers {path} with {status}");
            NOT_WELL
        }
        Err(error) => {
            eprintln!("ssr: the server at {address} does not answer {path}: {error}");
            NOT_WELL
        }
    }
}

/// The address by which a server is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, path: &str) -> Result<StatusCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        match tokio::time::timeout(LIMIT, get(address, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
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
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "ssr-health")
        .header(header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    let response = client.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    // A page that breaks off half way is no answer.
    response.into_body().collect().await.map_err(|error| format!("the page breaks off: {error}"))?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.1.2.3:3000"), "10.1.2.3:3000");
    }

    #[test]
    fn nobody_there_is_not_well_and_a_wrong_question_a_usage_error() {
        let listen = |address: &str| [("SSR_LISTEN".to_owned(), address.to_owned())];
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(run(&[], &listen(&free.to_string())), 1);
        assert_eq!(run(&["about".to_owned()], &[]), 64);
        assert_eq!(run(&[], &listen("nowhere")), 78);
    }
}
