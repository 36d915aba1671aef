//! Log lines on their way to standard error.
//!
//! A container's log is a pipe that somebody should read. If nobody does, a write blocks
//! for ever, and no page may block with it. So lines go through a bounded buffer that a
//! thread of its own writes out. Lines that do not fit are dropped, and their number is
//! logged as soon as there is room.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::net;

/// Most bytes that wait to be written.
const CAPACITY: usize = 256 << 10;

/// The buffer; clones share it.
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
    /// Lines dropped since the last one that fit.
    dropped: usize,
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
            net::leave_to_others();
            loop {
                let lines = emptied.take();
                // There is nowhere to report a failure.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                emptied.state.lock().writing = false;
                emptied.changed.notify_all();
            }
        })?;
        Ok(Self(shared))
    }

    /// Adds a line, including its line break.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        if state.waiting.len() + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            state
                .waiting
                .extend(format!("warn: {dropped} log lines were dropped: nobody read the log\n").bytes());
        }
        state.waiting.extend(line);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, at most for `limit`.
    pub fn flush_within(&self, limit: Duration) {
        let mut state = self.0.state.lock();
        let unwritten = |state: &mut State| state.writing || !state.waiting.is_empty();
        self.0.changed.wait_while_for(&mut state, unwritten, limit);
    }
}

impl Shared {
    /// Waits for lines and takes all of them.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.waiting.is_empty());
        state.writing = true;
        std::mem::take(&mut state.waiting)
    }
}

/// For loggers that take a writer: each call is a line.
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
    fn lines_arrive_in_order() {
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
    fn without_a_reader_nothing_blocks_and_dropped_lines_are_counted() {
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
        // More than once, if the writer takes what waits while lines are still being added.
        let reports = text.lines().filter_map(|line| line.strip_prefix("warn: "));
        let dropped: usize =
            reports.map(|report| report.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert!(dropped > 0);
        assert_eq!(text.lines().filter(|line| line.starts_with('x')).count() + dropped, 2000);
    }
}
