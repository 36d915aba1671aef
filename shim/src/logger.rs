//! One logger for the shim's two lives. As the shim it writes to the pipe named
//! `log` in the bundle, from which containerd copies into its own log. As the
//! container it writes to the container's stderr, where `ctr`, `docker logs` and
//! `kubectl logs` look.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use ssr_server::log_buffer::LogBuffer;

/// containerd's pipe, created in the bundle before it starts the shim there.
const PIPE: &str = "log";

static LOGGER: Logger = Logger { pipe: Mutex::new(None), container: OnceLock::new() };

struct Logger {
    pipe: Mutex<Option<File>>,
    /// In the container's process: the way to its log.
    container: OnceLock<LogBuffer>,
}

/// Installs the logger and opens containerd's pipe if this process has one.
/// `RUST_LOG` sets the level (`info` when it is absent); containerd's own debug
/// mode, the flag `-debug`, raises it to `debug`.
pub fn init() {
    if let Ok(mut pipe) = LOGGER.pipe.lock() {
        *pipe = open_pipe();
    }
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level());
    }
}

/// How long what is still to be logged at the end may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Installs the logger in the container's process.
pub fn to_stderr() -> io::Result<()> {
    let _ = LOGGER.container.set(LogBuffer::to_stderr()?);
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

/// Opened now, not at the first message, because the container's root is another
/// one by then. Without blocking: a pipe that nobody reads must not stop a start.
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
        // A message that cannot be delivered is lost: there is nowhere to say so.
        if let Some(log) = self.container.get() {
            log.push(container_line(record).as_bytes());
        } else if let Ok(mut pipe) = self.pipe.lock()
            && let Some(pipe) = pipe.as_mut()
        {
            let line = shim_line(record);
            let _ = pipe.write_all(line.as_bytes());
        }
    }

    fn flush(&self) {
        if let Some(log) = self.container.get() {
            log.flush_within(LAST_LINES);
        }
    }
}

/// A line for people: `warn: message`, with `info` left out as the usual case.
fn container_line(record: &Record<'_>) -> String {
    match record.level() {
        Level::Info => format!("{}\n", record.args()),
        level => format!("{}: {}\n", level.as_str().to_lowercase(), record.args()),
    }
}

/// A line in the format that containerd's log has.
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
    fn a_container_reads_plain_sentences() {
        let info = Record::builder()
            .level(Level::Info)
            .args(format_args!("listening on http://0.0.0.0:8080/"))
            .build();
        assert_eq!(container_line(&info), "listening on http://0.0.0.0:8080/\n");
    }

    #[test]
    fn a_warning_says_that_it_is_one() {
        let warning = Record::builder().level(Level::Warn).args(format_args!("/slow took too long")).build();
        assert_eq!(container_line(&warning), "warn: /slow took too long\n");
    }

    #[test]
    fn the_shims_lines_quote_what_they_say() {
        let record = Record::builder().level(Level::Error).args(format_args!("no \"module\"\nhere")).build();
        let line = shim_line(&record);
        assert!(line.ends_with("level=error msg=\"no \\\"module\\\"\\nhere\"\n"));
    }
}
