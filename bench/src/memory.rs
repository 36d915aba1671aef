//! The memory and the processes of one container and of its replicas.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ssr_e2e::http;

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

impl Found {
    fn of_one(&self) -> f64 {
        self.one.iter().sum()
    }
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
    for (contestant, mut found) in contestants.iter().zip(rounds) {
        let all = median(found.iter().map(|found| found.all).collect());
        found.sort_by(|a, b| a.of_one().total_cmp(&b.of_one()));
        let middle = found.get(found.len() / 2).context("a round")?;
        let one = middle.of_one();
        if ours.is_nan() {
            ours = one;
        }
        let parts: Vec<_> = middle.one.iter().map(|size| format!("{size:.1}")).collect();
        println!(
            "| {} | {one:.1} ({:.2}×) | {} | {all:.1} ({:.2} × one) | {:.1} | {} | {} |",
            contestant.title,
            one / ours,
            parts.join(" + "),
            all / one,
            (all - one) / (REPLICAS.len() - 1) as f64,
            middle.one.len(),
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
        let port = http::free_port();
        stage.start(contestant, id, port, &pod)?;
        stage.first_answer(port, Duration::from_millis(1)).context(contestant.title)?;
    }
    let running = stage.running().len() - engine.len();
    // The first has the shim of both.
    ["two", "one"].iter().try_for_each(|id| stage.remove(&[id]))?;
    Ok(running)
}
