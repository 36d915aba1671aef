//! The memory and the processes of one container and of its replicas.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ssr_bench::median;
use ssr_e2e::http;

use crate::args::Args;
use crate::contestant::Contestant;
use crate::stage::{self, Stage};

const REQUESTS: usize = 1000;
const REPLICAS: [&str; 4] = ["one", "two", "three", "four"];

/// The memory that one round finds, in MB.
struct Found {
    /// Of each process of one container.
    processes: Vec<f64>,
    one_idle: f64,
    all: f64,
    all_idle: f64,
}

impl Found {
    /// Of one container.
    fn one(&self) -> f64 {
        self.processes.iter().sum()
    }
}

/// Prints the tables.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    let mut rounds: Vec<Vec<Found>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.memory_rounds {
        for (contestant, found) in contestants.iter().zip(&mut rounds) {
            found.push(round(stage, contestant).context(contestant.title)?);
        }
    }
    print_busy(stage, contestants, &mut rounds, args.memory_rounds)?;
    print_idle(contestants, &rounds);
    Ok(())
}

fn print_busy(
    stage: &Stage,
    contestants: &[Contestant],
    rounds: &mut [Vec<Found>],
    count: usize,
) -> Result<()> {
    println!(
        "\n| MB of PSS after {REQUESTS} pages each, median of {count} | one container | by process | {} replicas | each additional replica | processes of a container | of a pod of two sites |",
        REPLICAS.len()
    );
    println!("|---|---|---|---|---|---|---|");
    let mut ours = f64::NAN;
    for (contestant, found) in contestants.iter().zip(rounds) {
        let all = median(found.iter().map(|found| found.all).collect());
        found.sort_by(|a, b| a.one().total_cmp(&b.one()));
        let middle = found.get(found.len() / 2).context("a round")?;
        let one = middle.one();
        if ours.is_nan() {
            ours = one;
        }
        let processes: Vec<_> = middle.processes.iter().map(|size| format!("{size:.1}")).collect();
        println!(
            "| {} | {one:.1} ({:.2}×) | {} | {all:.1} ({:.2} × one) | {:.1} | {} | {} |",
            contestant.title,
            one / ours,
            processes.join(" + "),
            all / one,
            each_additional(one, all),
            processes.len(),
            processes_of_pod(stage, contestant)?
        );
    }
    Ok(())
}

fn print_idle(contestants: &[Contestant], rounds: &[Vec<Found>]) {
    println!(
        "\n| MB of PSS, {} s after the last page | one container | {} replicas | each additional replica |",
        stage::IDLE.as_secs(),
        REPLICAS.len()
    );
    println!("|---|---|---|---|");
    let mut ours = f64::NAN;
    for (contestant, found) in contestants.iter().zip(rounds) {
        let one = median(found.iter().map(|found| found.one_idle).collect());
        let all = median(found.iter().map(|found| found.all_idle).collect());
        if ours.is_nan() {
            ours = one;
        }
        println!(
            "| {} | {one:.1} ({:.2}×) | {all:.1} ({:.2} × one) | {:.1} |",
            contestant.title,
            one / ours,
            all / one,
            each_additional(one, all)
        );
    }
}

/// The memory of each additional replica, from that of one replica and of all.
fn each_additional(one: f64, all: f64) -> f64 {
    (all - one) / (REPLICAS.len() - 1) as f64
}

fn round(stage: &Stage, contestant: &Contestant) -> Result<Found> {
    let engine = stage.running();
    let mut ports = Vec::new();
    // Starts containers, and has all that run render pages.
    let mut start = |ids: &[&str]| {
        for id in ids {
            ports.push(stage.start_to_answer(contestant, id)?.1);
        }
        ports.iter().try_for_each(|port| stage.request(*port, REQUESTS))?;
        let processes = stage.memory_besides(&engine);
        stage.idle();
        let idle: f64 = stage.memory_besides(&engine).iter().sum();
        anyhow::Ok((processes, idle))
    };
    let [first, others @ ..] = REPLICAS;
    let (processes, one_idle) = start(&[first])?;
    let (all, all_idle) = start(&others)?;
    stage.remove(&REPLICAS)?;
    Ok(Found { processes, one_idle, all: all.iter().sum(), all_idle })
}

/// The number of processes of two containers in one pod, annotated as CRI does.
fn processes_of_pod(stage: &Stage, contestant: &Contestant) -> Result<usize> {
    let engine = stage.running();
    let pod = ["--annotation", "io.kubernetes.cri.sandbox-id=one"];
    for id in ["one", "two"] {
        let port = http::free_port();
        stage.start(contestant, id, port, &pod)?;
        stage.first_answer(port, Duration::from_millis(1)).context(contestant.title)?;
    }
    let running = stage.running().len() - engine.len();
    // The first one last: its shim is the shim of both.
    ["two", "one"].iter().try_for_each(|id| stage.remove(&[id]))?;
    Ok(running)
}
