//! Log lines on their way to standard error.
//!
//! A container's log is a pipe that somebody reads, or should. Where nobody does,
//! a write waits for ever: no page may wait with it. So lines go through a bounded
//! buffer that a thread of its own empties; what does not fit is lost, and how
//! much it was is said as soon as there is room.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most that waits, in bytes.
const ROOM: usize = 256 << 10;

/// The buffer; clones are the same one.
#[derive(Clone)]
pub struct LogBuffer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that did not fit since the last that did.
    lost: usize,
    writing: bool,
}

impl LogBuffer {
    /// Starts the thread that writes to standard error.
    pub fn to_stderr() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    fn to(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let emptied = Arc::clone(&shared);
        std::thread::Builder::new().name("ssr-log".to_owned()).stack_size(64 << 10).spawn(move || {
            loop {
                let lines = emptied.take();
                // There is nowhere to say that it failed.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                emptied.lock().writing = false;
                emptied.changed.notify_all();
            }
        })?;
        Ok(Self(shared))
    }

    /// Adds a line, which ends with a line break.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > ROOM {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            state.waiting.extend(format!("warn: {lost} log lines were lost: nobody read the log\n").bytes());
        }
        state.waiting.extend(line);
        self.0.changed.notify_all();
    }

    /// Waits until all is written, but not longer than so.
    pub fn flush_within(&self, limit: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.waiting.is_empty();
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), limit, unwritten);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines and takes all there are.
    fn take(&self) -> Vec<u8> {
        let state = self.changed.wait_while(self.lock(), |state| state.waiting.is_empty());
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::take(&mut state.waiting)
    }
}

/// For loggers that write: each call is a line.
impl Write for LogBuffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_arrive_in_their_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let buffer = LogBuffer::to(writer).unwrap();
        for number in 0..100 {
            buffer.push(format!("{number}\n").as_bytes());
        }
        buffer.flush_within(Duration::from_secs(10));
        let mut bytes = [0; 290];
        reader.read_exact(&mut bytes).unwrap();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    #[test]
    fn without_a_reader_nothing_waits_and_the_loss_is_told_when_one_comes() {
        let (mut reader, writer) = io::pipe().unwrap();
        let buffer = LogBuffer::to(writer).unwrap();
        let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<u8>>();
        for _ in 0..2000 {
            buffer.push(&line);
        }
        buffer.flush_within(Duration::from_millis(1));
        let collected = std::thread::spawn(move || {
            let mut text = String::new();
            let mut bytes = [0; 4096];
            while !text.contains("the last") {
                let read = reader.read(&mut bytes).unwrap();
                text += std::str::from_utf8(&bytes[..read]).unwrap();
            }
            text
        });
        // As soon as there is room, the next line comes through.
        buffer.flush_within(Duration::from_secs(10));
        buffer.push(b"the last\n");
        let text = collected.join().unwrap();
        let (_, told) = text.split_once("warn: ").unwrap();
        let lost: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with('x')).count() + lost, 2000);
    }
}
