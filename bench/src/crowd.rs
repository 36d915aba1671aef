//! Many containers at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ssr_e2e::http;

use crate::contestant::{Compiles, Contestant};
use crate::stage::{self, Stage};
use crate::{Args, median};

/// Starts, of the first and of the last, that are taken together: a single one
/// says little on a machine with other work.
const ENDS: usize = 5;

/// So many of those that compile at every start: more would take minutes.
const FEW: usize = 10;

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    println!(
        "\n| many containers at once | containers | MB of PSS in all | each | {} s later | each | processes | start of the first {ENDS}, ms | of the last {ENDS} | started at once, until the last answers, s |",
        stage::REST.as_secs()
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let ids: Vec<_> = (1..=args.crowd).map(|number| format!("site-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut ours = (f64::NAN, f64::NAN);
    for contestant in contestants {
        let number = if contestant.compiles == Compiles::Always { FEW.min(ids.len()) } else { ids.len() };
        let ids = ids.get(..number).unwrap_or_default();
        let (times, memory, at_rest) = one_by_one(stage, contestant, ids).context(contestant.title)?;
        let at_once = at_once(stage, contestant, ids).context(contestant.title)?;
        let total: f64 = memory.iter().sum();
        let total_at_rest: f64 = at_rest.iter().sum();
        let [each, each_at_rest] = [total, total_at_rest].map(|total| total / number as f64);
        if ours.0.is_nan() {
            ours = (each, each_at_rest);
        }
        let first = median(times.iter().take(ENDS).copied().collect());
        let last = median(times.iter().rev().take(ENDS).copied().collect());
        println!(
            "| {} | {number} | {total:.0} | {each:.1} ({:.2}×) | {total_at_rest:.0} | {each_at_rest:.1} ({:.2}×) | {} | {:.0} | {:.0} ({:.2} × the first) | {at_once:.1} |",
            contestant.title,
            each / ours.0,
            each_at_rest / ours.1,
            memory.len(),
            first * 1e3,
            last * 1e3,
            last / first
        );
    }
    Ok(())
}

/// Starts them one after the other, has each answer again when all run, and
/// returns the times of the starts, and the memory of all processes: then, and
/// when nobody has asked for a while.
fn one_by_one(
    stage: &Stage,
    contestant: &Contestant,
    ids: &[&str],
) -> Result<(Vec<f64>, Vec<f64>, Vec<f64>)> {
    let engine = stage.running();
    let started = ids.iter().map(|id| stage.start_to_answer(contestant, id));
    let (times, ports): (Vec<_>, Vec<_>) = started.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    ports.iter().try_for_each(|port| stage.request(*port, 1))?;
    let memory = stage.memory_but_of(&engine);
    stage.rest();
    let at_rest = stage.memory_but_of(&engine);
    stage.remove(ids)?;
    Ok((times, memory, at_rest))
}

/// Starts them all at the same time, on a node that has compiled nothing of ours;
/// returns the seconds until all have answered.
fn at_once(stage: &Stage, contestant: &Contestant, ids: &[&str]) -> Result<f64> {
    if contestant.compiles == Compiles::Once {
        stage.empty_code_cache()?;
    }
    let mut ports = BTreeSet::new();
    while ports.len() < ids.len() {
        ports.insert(http::free_port());
    }
    // Asking more often would take the time from those that start.
    let pause = Duration::from_millis(20);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let starts = ids.iter().zip(ports).map(|(id, port)| {
            scope.spawn(move || {
                stage.start(contestant, id, port, &[])?;
                stage.first_answer(port, pause)
            })
        });
        let starts: Vec<_> = starts.collect();
        starts.into_iter().try_for_each(|start| start.join().map_err(|_| anyhow!("a start panicked"))?)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    stage.remove(ids)?;
    Ok(seconds)
}
