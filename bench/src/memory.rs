//! The memory and the processes of one container and of its replicas.

use anyhow::{Context as _, Result};

use crate::contestant::Contestant;
use crate::stage::Stage;
use crate::{Args, median};

const REQUESTS: usize = 1000;
const REPLICAS: [&str; 4] = ["one", "two", "three", "four"];

/// What one round finds out.
struct Found {
    /// The memory of one container's processes, in MB each.
    one: Vec<f64>,
    /// The memory of all replicas, in MB.
    all: f64,
}

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    let mut rounds: Vec<Vec<Found>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.memory_rounds {
        for (contestant, found) in contestants.iter().zip(&mut rounds) {
            found.push(round(stage, contestant).context(contestant.title)?);
        }
    }
    println!(
        "\n| MB of PSS after {REQUESTS} pages each, median of {} | one container | of that, each process | {} replicas | each further one | processes of a container | of a pod of two sites |",
        args.memory_rounds,
        REPLICAS.len()
    );
    println!("|---|---|---|---|---|---|---|");
    let mut ours = f64::NAN;
    for (contestant, found) in contestants.iter().zip(rounds) {
        let one = median(found.iter().map(|found| found.one.iter().sum()).collect());
        let all = median(found.iter().map(|found| found.all).collect());
        if ours.is_nan() {
            ours = one;
        }
        let each = &found.last().context("a round")?.one;
        let parts: Vec<_> = each.iter().map(|size| format!("{size:.1}")).collect();
        println!(
            "| {} | {one:.1} ({:.2}×) | {} | {all:.1} ({:.2} × one) | {:.1} | {} | {} |",
            contestant.title,
            one / ours,
            parts.join(" + "),
            all / one,
            (all - one) / (REPLICAS.len() - 1) as f64,
            each.len(),
            of_pod(stage, contestant)?
        );
    }
    Ok(())
}

fn round(stage: &Stage, contestant: &Contestant) -> Result<Found> {
    let engine = stage.running();
    let mut one = Vec::new();
    for id in REPLICAS {
        let (_, port) = stage.start_to_answer(contestant, id)?;
        stage.request(port, REQUESTS)?;
        if one.is_empty() {
            one = stage.memory_but_of(&engine);
        }
    }
    let all = stage.memory_but_of(&engine).iter().sum();
    stage.remove(&REPLICAS)?;
    Ok(Found { one, all })
}

/// How many processes two containers of one pod are, marked as CRI does.
fn of_pod(stage: &Stage, contestant: &Contestant) -> Result<usize> {
    let engine = stage.running();
    let pod = ["--annotation", "io.kubernetes.cri.sandbox-id=one"];
    for id in ["one", "two"] {
        let port = stage.start(contestant, id, &pod)?;
        stage.first_answer(port).context(contestant.title)?;
    }
    let running = stage.running().len() - engine.len();
    // The first has the shim of both.
    ["two", "one"].iter().try_for_each(|id| stage.remove(&[id]))?;
    Ok(running)
}
