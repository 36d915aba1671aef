//! Many containers at once.

use anyhow::{Context as _, Result};

use crate::contestant::Contestant;
use crate::stage::Stage;
use crate::{Args, median};

/// Starts, of the first and of the last, that are taken together: a single one
/// says little on a machine with other work.
const ENDS: usize = 5;

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    println!(
        "\n| {} containers at once | MB of PSS in all | each | processes | start of the first {ENDS}, ms | of the last {ENDS} |",
        args.crowd
    );
    println!("|---|---|---|---|---|---|");
    let mut ours = f64::NAN;
    for contestant in contestants {
        let (times, memory) = gather(stage, contestant, args.crowd).context(contestant.title)?;
        let total: f64 = memory.iter().sum();
        if ours.is_nan() {
            ours = total;
        }
        let first = median(times.iter().take(ENDS).copied().collect());
        let last = median(times.iter().rev().take(ENDS).copied().collect());
        println!(
            "| {} | {total:.0} ({:.2}×) | {:.1} | {} | {:.0} | {:.0} ({:.2} × the first) |",
            contestant.title,
            total / ours,
            total / args.crowd as f64,
            memory.len(),
            first * 1e3,
            last * 1e3,
            last / first
        );
    }
    Ok(())
}

/// Starts them one after the other, has each answer again when all run, and
/// returns the times of the starts and the memory of all processes.
fn gather(stage: &Stage, contestant: &Contestant, number: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let engine = stage.running();
    let ids: Vec<_> = (1..=number).map(|number| format!("site-{number}")).collect();
    let started = ids.iter().map(|id| stage.start_to_answer(contestant, id));
    let (times, ports): (Vec<_>, Vec<_>) = started.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    ports.iter().try_for_each(|port| stage.request(*port, 1))?;
    let memory = stage.memory_but_of(&engine);
    stage.remove(&ids.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok((times, memory))
}
