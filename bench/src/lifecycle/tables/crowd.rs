//! Many containers at the same time.

use anyhow::{Context as _, Result};
use ssr_bench::median;

use super::at_once;
use crate::args::Args;
use crate::contestant::{Compiles, Contestant};
use crate::stage::{self, Stage};

/// How many of the first and of the last starts the table gives the median of: a
/// single start says little on a machine with other work.
const ENDS: usize = 5;

/// The number of containers of those that compile at every start: more would take
/// minutes.
const FEW: usize = 10;

/// What is found when containers are started one after the other.
struct Crowd {
    /// Seconds until each answered.
    starts: Vec<f64>,
    processes: usize,
    /// The memory of all processes, in MB.
    memory: f64,
    memory_idle: f64,
}

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    println!(
        "\n| many containers | containers | MB of PSS, total | each | total {} s later | each | processes | start of the first {ENDS}, ms | of the last {ENDS} | all started at once: until the last answers, s |",
        stage::IDLE.as_secs()
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let ids: Vec<_> = (1..=args.crowd).map(|number| format!("site-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut ours = (f64::NAN, f64::NAN);
    for contestant in contestants {
        let number = if contestant.compiles == Compiles::Always { FEW.min(ids.len()) } else { ids.len() };
        let ids = ids.get(..number).unwrap_or_default();
        let crowd = one_by_one(stage, contestant, ids).context(contestant.title)?;
        let at_once = all_at_once(stage, contestant, ids).context(contestant.title)?;
        let Crowd { starts, processes, memory, memory_idle } = crowd;
        let [each, each_idle] = [memory, memory_idle].map(|total| total / number as f64);
        if ours.0.is_nan() {
            ours = (each, each_idle);
        }
        let first = median(starts.iter().take(ENDS).copied().collect());
        let last = median(starts.iter().rev().take(ENDS).copied().collect());
        println!(
            "| {} | {number} | {memory:.0} | {each:.1} ({:.2}×) | {memory_idle:.0} | {each_idle:.1} ({:.2}×) | {processes} | {:.0} | {:.0} ({:.2} × the first) | {at_once:.1} |",
            contestant.title,
            each / ours.0,
            each_idle / ours.1,
            first * 1e3,
            last * 1e3,
            last / first
        );
    }
    Ok(())
}

/// Starts containers one after the other, and requests one more page of each once
/// all of them run.
fn one_by_one(stage: &Stage, contestant: &Contestant, ids: &[&str]) -> Result<Crowd> {
    let engine = stage.running();
    let started = ids.iter().map(|id| stage.start_to_answer(contestant, id));
    let (starts, ports): (Vec<_>, Vec<_>) = started.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    ports.iter().try_for_each(|port| stage.request(*port, 1))?;
    let processes = stage.memory_besides(&engine);
    stage.idle();
    let memory_idle = stage.memory_besides(&engine).iter().sum();
    stage.remove(ids)?;
    Ok(Crowd { starts, processes: processes.len(), memory: processes.iter().sum(), memory_idle })
}

/// Starts containers at the same time, with an empty code cache. Returns the seconds
/// until all have answered.
fn all_at_once(stage: &Stage, contestant: &Contestant, ids: &[&str]) -> Result<f64> {
    if contestant.compiles == Compiles::Once {
        stage.empty_code_cache()?;
    }
    let (seconds, _) = at_once::start(stage, &vec![contestant; ids.len()], ids)?;
    stage.remove(ids)?;
    Ok(seconds)
}
