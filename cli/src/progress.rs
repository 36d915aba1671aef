//! Progress of slow work: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows the current stage until it is dropped.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts the spinner if standard error is a terminal.
    pub fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Shows what is being done now.
    pub fn stage(&self, what: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(format!("{what} …")),
            None => eprintln!("{what}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Shows how many bytes of a known number are done, until it is dropped.
pub struct ByteProgress(Option<ProgressBar>);

impl ByteProgress {
    /// Starts the bar if standard error is a terminal.
    pub fn start(what: &str, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("{what}");
            return Self(None);
        }
        let template = "{msg} {wide_bar} {bytes}/{total_bytes}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(Some(ProgressBar::new(total).with_style(style).with_message(what.to_owned())))
    }

    /// So many more are done.
    pub fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for ByteProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            // The line stays, so that one sees what was sent.
            bar.abandon();
        }
    }
}
