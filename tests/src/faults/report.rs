//! What rounds have shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::fault::Fault;

/// How much of the log of a failed round is printed.
const LOG_LINES: usize = 40;

/// What one round has shown.
#[derive(Debug)]
pub struct Outcome {
    /// The round's number.
    pub number: u64,
    /// What went wrong in it.
    pub fault: Fault,
    /// What exactly.
    pub what: String,
    /// Whether there was nothing for the fault to hit.
    pub missed: bool,
    /// What was left after everything had been removed.
    pub left: Vec<String>,
    /// Statuses, exit codes and answers that are wrong.
    pub wrong: Vec<String>,
    /// Requests of the unaffected site that were answered.
    pub answered: u64,
    /// How many containers there were.
    pub containers: usize,
    /// How long the round took, and how much of that it took until nothing was left.
    pub time: Duration,
    /// See above.
    pub settled: Duration,
    /// What containerd and the shims have logged.
    pub log: String,
}

impl Outcome {
    /// Of a round in which nothing has happened yet.
    pub fn new(number: u64, fault: Fault) -> Self {
        Self {
            number,
            fault,
            what: String::new(),
            missed: false,
            left: Vec::new(),
            wrong: Vec::new(),
            answered: 0,
            containers: 0,
            time: Duration::ZERO,
            settled: Duration::ZERO,
            log: String::new(),
        }
    }
}

/// The sums for one kind of fault, or for all.
#[derive(Debug, Default)]
struct Sums {
    rounds: usize,
    missed: usize,
    failed: usize,
    left: usize,
    wrong: usize,
    containers: usize,
    answered: u64,
    time: Duration,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        self.rounds += 1;
        self.missed += usize::from(outcome.missed);
        self.failed += usize::from(!(outcome.left.is_empty() && outcome.wrong.is_empty()));
        self.left += outcome.left.len();
        self.wrong += outcome.wrong.len();
        self.containers += outcome.containers;
        self.answered += outcome.answered;
        self.time += outcome.time;
    }

    fn row(&self, name: &str) -> String {
        let Self { rounds, missed, failed, left, wrong, containers, answered, time } = self;
        let seconds = time.as_secs_f64() / (*rounds).max(1) as f64;
        format!(
            "| {name} | {rounds} | {missed} | {containers} | {answered} | {failed} | {left} | {wrong} | {seconds:.1} |"
        )
    }
}

/// The outcomes of all rounds.
#[derive(Debug)]
pub struct Report {
    by_fault: BTreeMap<Fault, Sums>,
    all: Sums,
    started: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self { by_fault: BTreeMap::new(), all: Sums::default(), started: Instant::now() }
    }
}

impl Report {
    /// Enters a round, and prints it if it has failed.
    pub fn add(&mut self, outcome: Outcome, seed: u64) {
        self.by_fault.entry(outcome.fault).or_default().add(&outcome);
        self.all.add(&outcome);
        let Outcome { number, fault, what, left, wrong, .. } = &outcome;
        println!(
            "round {number}: {}{} {what}; {} containers, {} answers, {:.1} s, of which {:.1} s to settle",
            fault.name(),
            if outcome.missed { " (nothing to hit)" } else { "" },
            outcome.containers,
            outcome.answered,
            outcome.time.as_secs_f64(),
            outcome.settled.as_secs_f64(),
        );
        if left.is_empty() && wrong.is_empty() {
            return;
        }
        println!("FAILED: seed {seed}, round {number}, {}: {what}", fault.name());
        for line in left {
            println!("  left: {line}");
        }
        for line in wrong {
            println!("  wrong: {line}");
        }
        // containerd says this of every container that ends.
        let usual = ["shim disconnected", "cleaning up dead shim", "loading plugin", "msg=serving"];
        let lines = outcome.log.lines().filter(|line| !usual.iter().any(|usual| line.contains(usual)));
        for line in lines.take(LOG_LINES) {
            println!("  log: {line}");
        }
    }

    /// Enters what was found after the last round.
    pub fn end(&mut self, outcome: Outcome) {
        for line in &outcome.wrong {
            println!("after the last round: wrong: {line}");
        }
        self.all.wrong += outcome.wrong.len();
    }

    /// How many rounds have failed.
    pub fn failed(&self) -> usize {
        self.all.failed
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| fault | rounds | nothing to hit | containers | answers | failed rounds | leftovers | wrong | s per round |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for (fault, sums) in &self.by_fault {
            let _ = writeln!(table, "{}", sums.row(fault.name()));
        }
        let _ = writeln!(table, "{}", self.all.row("all"));
        let _ = writeln!(table, "\n{:.0} s in all", self.started.elapsed().as_secs_f64());
        table
    }
}
