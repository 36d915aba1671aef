//! The memory and the processes of one container and of its replicas.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ssr_e2e::http;

use crate::contestant::Contestant;
use crate::stage::{self, Stage};
use crate::{Args, median};

const REQUESTS: usize = 1000;
const REPLICAS: [&str; 4] = ["one", "two", "three", "four"];

/// What one round finds out: the memory of one container's processes and of all
/// replicas', in MB each.
struct Found {
    one: Vec<f64>,
    one_at_rest: Vec<f64>,
    all: Vec<f64>,
    all_at_rest: Vec<f64>,
}

fn sum(sizes: &[f64]) -> f64 {
    sizes.iter().sum()
}

/// Prints the tables.
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
    for (contestant, found) in contestants.iter().zip(&mut rounds) {
        let all = median(found.iter().map(|found| sum(&found.all)).collect());
        found.sort_by(|a, b| sum(&a.one).total_cmp(&sum(&b.one)));
        let middle = found.get(found.len() / 2).context("a round")?;
        let one = sum(&middle.one);
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
            each_further(one, all),
            middle.one.len(),
            of_pod(stage, contestant)?
        );
    }
    println!(
        "\n| MB of PSS, {} s after the last page | one container | {} replicas | each further one |",
        stage::REST.as_secs(),
        REPLICAS.len()
    );
    println!("|---|---|---|---|");
    let mut ours = f64::NAN;
    for (contestant, found) in contestants.iter().zip(&rounds) {
        let one = median(found.iter().map(|found| sum(&found.one_at_rest)).collect());
        let all = median(found.iter().map(|found| sum(&found.all_at_rest)).collect());
        if ours.is_nan() {
            ours = one;
        }
        println!(
            "| {} | {one:.1} ({:.2}×) | {all:.1} ({:.2} × one) | {:.1} |",
            contestant.title,
            one / ours,
            all / one,
            each_further(one, all)
        );
    }
    Ok(())
}

/// The memory of a further replica, of that of one and of all.
fn each_further(one: f64, all: f64) -> f64 {
    (all - one) / (REPLICAS.len() - 1) as f64
}

fn round(stage: &Stage, contestant: &Contestant) -> Result<Found> {
    let engine = stage.running();
    let mut ports = Vec::new();
    let mut request_all = |started: &[&str]| {
        for id in started {
            ports.push(stage.start_to_answer(contestant, id)?.1);
        }
        ports.iter().try_for_each(|port| stage.request(*port, REQUESTS))?;
        let busy = stage.memory_but_of(&engine);
        stage.rest();
        anyhow::Ok((busy, stage.memory_but_of(&engine)))
    };
    let [first, further @ ..] = REPLICAS;
    let (one, one_at_rest) = request_all(&[first])?;
    let (all, all_at_rest) = request_all(&further)?;
    stage.remove(&REPLICAS)?;
    Ok(Found { one, one_at_rest, all, all_at_rest })
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
