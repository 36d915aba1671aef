//! libcontainer's own account of what goes wrong. Its errors cross from the container's
//! process as text, without their causes; the causes are in the error events that it
//! traces, which are kept in memory that all of the helper's processes share.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MemFdCreateFlag, memfd_create};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Lowest number of the descriptor: what the container's process inherits comes before.
const MIN_FD: i32 = 10;

/// More than any error number.
const MAX_ERRNO: i32 = 256;

static EVENTS: OnceLock<File> = OnceLock::new();

/// Starts to keep error events. Without it, errors lack their causes.
pub fn keep_errors() {
    if let Ok(file) = memory()
        && EVENTS.set(file).is_ok()
    {
        // Fails only if there is a subscriber already.
        let _ = tracing::subscriber::set_global_default(Keeper);
    }
}

fn memory() -> io::Result<File> {
    let file = memfd_create(c"errors", MemFdCreateFlag::MFD_CLOEXEC)?;
    let moved = fcntl(file.as_raw_fd(), FcntlArg::F_DUPFD_CLOEXEC(MIN_FD))?;
    // Several processes write to it.
    fcntl(moved, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    // SAFETY: the kernel has just opened it for this process.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(moved) }))
}

/// The first error event, which is the innermost and names what failed, with the kernel's
/// reason.
pub fn first_error() -> Option<String> {
    let mut events = EVENTS.get()?;
    events.rewind().ok()?;
    let text = io::read_to_string(events).ok()?;
    let mut lines = text.lines();
    let first = lines.next()?;
    // It ends with the name of the failed step; the outer events have it with its fields.
    let reason = lines.find_map(reason).filter(|_| reason(first).is_none() && !first.contains("os error"));
    Some(reason.map_or_else(|| first.to_owned(), |reason| format!("{first}: {reason}")))
}

/// The kernel's error in the text of an event, as Rust prints the fields of an error.
fn reason(event: &str) -> Option<String> {
    let (_, rest) = event.rsplit_once("Nix(")?;
    let (name, _) = rest.split_once(')')?;
    let known = (1..MAX_ERRNO).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)?;
    Some(format!("{} ({name})", known.desc()))
}

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if let Some(mut events) = EVENTS.get() {
            // What cannot be kept is lost.
            let _ = writeln!(events, "{}{}", line.message, line.fields);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event as one line: its message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}").replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, ", {name}: {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_reason_is_found_in_the_outer_events() {
        let outer = "failed to prepare rootfs, err: Mount(Syscall(Nix(EPERM)))";
        assert_eq!(reason(outer).as_deref(), Some("Operation not permitted (EPERM)"));
        assert_eq!(reason("failed to mount Mount { destination: \"/sys\" }: syscall"), None);
        assert_eq!(reason("Nix(NOTHING)"), None);
    }

    #[test]
    fn the_first_error_is_kept_with_its_cause_also_from_a_child() {
        keep_errors();
        tracing::warn!("not an error");
        assert_eq!(first_error(), None);
        let error = io::Error::from_raw_os_error(libc::EPERM);
        tracing::error!(?error, "cannot bind");
        tracing::error!("cannot prepare");
        let first = first_error().unwrap();
        assert!(
            first.starts_with("cannot bind") && first.contains("EPERM") || first.contains("PermissionDenied")
        );
    }
}
