//! Containers that are started at the same time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ssr_e2e::http;

use crate::contestant::Contestant;
use crate::stage::Stage;

/// The pause between attempts to get an answer. A shorter one would take processor time from
/// the starts.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts a container of each contestant, by the id at the same place. Returns the seconds until
/// all have answered, and their ports in the same order.
pub fn start(stage: &Stage, contestants: &[&Contestant], ids: &[&str]) -> Result<(f64, Vec<u16>)> {
    let mut ports = BTreeSet::new();
    while ports.len() < ids.len() {
        ports.insert(http::free_port());
    }
    let ports = Vec::from_iter(ports);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let starts = contestants.iter().zip(ids).zip(&ports).map(|((contestant, id), port)| {
            scope.spawn(move || {
                stage.start(contestant, id, *port, &[])?;
                stage.first_answer(*port, PAUSE)
            })
        });
        let starts: Vec<_> = starts.collect();
        starts.into_iter().try_for_each(|start| start.join().map_err(|_| anyhow!("a start panicked"))?)
    })?;
    Ok((begin.elapsed().as_secs_f64(), ports))
}
