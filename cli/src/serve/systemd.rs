//! What systemd gives a service and wants from it: a socket (sd_listen_fds), and word of how it
//! does (sd_notify). Nothing of this happens unless the environment says that systemd, or
//! something that does the same, has started this process.

use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use sd_notify::NotifyState;
use socket2::{Domain, Socket, Type};
use ssr_server::{Report, Supervisor};

use super::Failure;

/// Variables that are for this process, not for the site.
const VARIABLES: [&str; 7] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Exit code: there is no socket to listen on (sysexits.h, EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

/// Whether an environment variable is systemd's, and says nothing to a site.
pub fn owns(variable: &str) -> bool {
    VARIABLES.contains(&variable)
}

/// What systemd has started this process with. Called once.
pub fn supervisor() -> Result<Supervisor, Failure> {
    let unusable = |reason: String| Failure {
        message: format!("the socket that was passed (LISTEN_FDS) cannot be used: {reason}"),
        exit_code: UNAVAILABLE,
    };
    let mut passed = sd_notify::listen_fds().map_err(|error| unusable(error.to_string()))?;
    let listener = match passed.len() {
        0 => None,
        1 => passed.next().map(listener).transpose().map_err(unusable)?,
        count => {
            return Err(unusable(format!(
                "there are {count}; this server listens on one: write one ListenStream= into the socket unit, such as \
                 ListenStream=8080 for all addresses of IPv6 and IPv4"
            )));
        }
    };
    let reports =
        std::env::var_os("NOTIFY_SOCKET").map(|_| Box::new(report) as Box<dyn Fn(Report) + Send + Sync>);
    // As systemd recommends.
    let watchdog = sd_notify::watchdog_enabled().map(|most| most / 2);
    Ok(Supervisor { listener, watchdog: watchdog.filter(|interval| *interval > Duration::ZERO), reports })
}

fn listener(number: RawFd) -> Result<TcpListener, String> {
    // SAFETY: whoever has started this process has opened it for this purpose, and nothing else
    // here uses it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
    let kind = socket.r#type().map_err(|error| format!("descriptor {number} is no socket: {error}"))?;
    let domain = socket.domain().map_err(|error| error.to_string())?;
    if kind != Type::STREAM || ![Domain::IPV4, Domain::IPV6].contains(&domain) {
        return Err("it is not of TCP: write a port or an address with a port into ListenStream=".to_owned());
    }
    if !socket.is_listener().map_err(|error| error.to_string())? {
        return Err("it does not listen: the socket unit must have Accept=no".to_owned());
    }
    socket.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(socket.into())
}

fn report(report: Report) {
    let state = match report {
        Report::Ready => NotifyState::Ready,
        Report::Alive => NotifyState::Watchdog,
        Report::Stopping => NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        log::warn!("cannot tell systemd how the server does (NOTIFY_SOCKET): {error}");
    }
}
