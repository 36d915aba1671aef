//! `check`: what is right with a node and what is not, and how to mend it.

mod engines;
mod machine;

pub use engines::unread_file;

use serde::Serialize;

use crate::engine::Engine;
use crate::engine::version::Given;
use crate::files::root::Root;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Sites run, but not as well as they could.
    Warning,
    /// Sites do not run, or limits do not hold.
    Error,
}

impl State {
    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "ERROR",
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Row {
    fn new(subject: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), state, found: found.into(), advice: None }
    }

    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(subject, State::Ok, found)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Looks at the machine and its engines; at those that are installed if none is named.
pub fn check(root: &Root, engines: &[Engine], versions: &Given) -> Vec<Row> {
    let mut rows = machine::rows(root);
    let engines = match engines.is_empty() {
        true => Engine::installed(root),
        false => engines.to_vec(),
    };
    if engines.is_empty() {
        let none =
            Row::new("engine", State::Error, "none of containerd, Docker, k3s, RKE2 and microk8s found");
        rows.push(none.advise("install one of them"));
    }
    for engine in engines {
        rows.extend(engines::rows(root, engine, versions));
    }
    rows
}

/// Whether sites run here.
pub fn is_good(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.state < State::Error)
}

/// The rows as a table, each advice on a line of its own.
pub fn table(rows: &[Row]) -> String {
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (subjects, states) = (width(|row| &row.subject), width(|row| row.state.name()));
    let mut text = String::new();
    for row in rows {
        let line = format!("{:states$}  {:subjects$}  {}", row.state.name(), row.subject, row.found);
        text.push_str(line.trim_end());
        text.push('\n');
        if let Some(advice) = &row.advice {
            text.push_str(&format!("{:states$}  {:subjects$}  → {advice}\n", "", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_columns_and_the_advice_below() {
        let rows = [
            Row::ok("kernel", "6.12.0"),
            Row::new("memory cgroup", State::Error, "missing").advise("turn it on"),
        ];
        let expected = "\
ok     kernel         6.12.0
ERROR  memory cgroup  missing
                      → turn it on
";
        assert_eq!(table(&rows), expected);
        assert!(!is_good(&rows) && is_good(&rows[..1]));
    }
}
