//! The logger. In the shim it writes to the pipe `log` in the bundle, which containerd
//! copies to its own log. In the container's process it writes to standard error, which
//! `docker logs` and `kubectl logs` show.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use ssr_server::log_buffer::LogBuffer;

/// containerd's pipe, which it creates in the bundle before it starts the shim there.
const PIPE: &str = "log";

static LOGGER: Logger = Logger { pipe: Mutex::new(None), container: OnceLock::new() };

struct Logger {
    pipe: Mutex<Option<File>>,
    /// Set in the container's process only.
    container: OnceLock<LogBuffer>,
}

/// Installs the shim's logger and opens containerd's pipe if there is one. `RUST_LOG` sets
/// the level (default `info`); containerd's debug mode, the flag `-debug`, raises it to
/// `debug`.
pub fn init() {
    *LOGGER.pipe.lock() = open_pipe();
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level());
    }
}

/// How long an ending process waits for its log to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Installs the logger of the container's process.
pub fn to_stderr() -> io::Result<()> {
    let _ = LOGGER.container.set(LogBuffer::to_stderr()?);
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

/// Opens the pipe without blocking: one that nobody reads must not stop a start.
fn open_pipe() -> Option<File> {
    let kind = std::fs::metadata(PIPE).ok()?.file_type();
    if !kind.is_fifo() {
        return None;
    }
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(PIPE).ok()
}

fn level() -> LevelFilter {
    let wanted =
        std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::Info);
    let debug = std::env::args_os().any(|arg| arg == OsStr::new("-debug"));
    if debug { wanted.max(LevelFilter::Debug) } else { wanted }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(log) = self.container.get() {
            log.push(container_line(record).as_bytes());
        } else if let Some(pipe) = self.pipe.lock().as_mut() {
            // There is nowhere to report a failure.
            let _ = pipe.write_all(shim_line(record).as_bytes());
        }
    }

    fn flush(&self) {
        if let Some(log) = self.container.get() {
            log.flush_within(FLUSH_TIMEOUT);
        }
    }
}

/// A line for people: `warn: message`, or just the message for `info`.
fn container_line(record: &Record<'_>) -> String {
    match record.level() {
        Level::Info => format!("{}\n", record.args()),
        level => format!("{}: {}\n", level.as_str().to_lowercase(), record.args()),
    }
}

/// A line in the format of containerd's log.
fn shim_line(record: &Record<'_>) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    format!(
        "time={seconds:.6} level={} msg={:?}\n",
        record.level().as_str().to_lowercase(),
        record.args().to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_lines_have_no_prefix() {
        let info = Record::builder()
            .level(Level::Info)
            .args(format_args!("listening on http://0.0.0.0:8080/"))
            .build();
        assert_eq!(container_line(&info), "listening on http://0.0.0.0:8080/\n");
    }

    #[test]
    fn warnings_have_a_prefix() {
        let warning = Record::builder().level(Level::Warn).args(format_args!("/slow took too long")).build();
        assert_eq!(container_line(&warning), "warn: /slow took too long\n");
    }

    #[test]
    fn shim_lines_quote_their_message() {
        let record = Record::builder().level(Level::Error).args(format_args!("no \"module\"\nhere")).build();
        let line = shim_line(&record);
        assert!(line.ends_with("level=error msg=\"no \\\"module\\\"\\nhere\"\n"));
    }
}
