//! The time that containers take to start and stop.

use std::time::Instant;

use anyhow::{Context as _, Result};
use ssr_bench::median;

use crate::args::Args;
use crate::compile;
use crate::contestant::{Compiles, Contestant};
use crate::stage::Stage;

/// The times of one row of the table, in seconds.
#[derive(Clone, Default)]
struct Times {
    start: Vec<f64>,
    stop: Vec<f64>,
    /// `true`, from start to exit.
    exit: Vec<f64>,
}

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    let mut rows = vec![Times::default(); contestants.len()];
    let (mut cold, mut compile) = (Times::default(), Vec::new());
    for round in 0..=args.rounds {
        // The first round only warms up.
        let counts = round > 0;
        let compiled = compile::time(&args.module)?;
        if counts {
            compile.push(compiled);
        }
        for (contestant, times) in contestants.iter().zip(&mut rows) {
            if contestant.compiles == Compiles::Once {
                stage.empty_code_cache()?;
                cycle(stage, contestant, counts.then_some(&mut cold))?;
            }
            cycle(stage, contestant, counts.then_some(&mut *times))?;
            let exit = stage.start_to_exit(contestant.runtime)?;
            if counts {
                times.exit.push(exit);
            }
        }
    }
    print(contestants, rows, cold, median(compile), args.rounds)
}

/// Starts and stops one container.
fn cycle(stage: &Stage, contestant: &Contestant, times: Option<&mut Times>) -> Result<()> {
    let (start, _) = stage.start_to_answer(contestant, "site")?;
    let begin = Instant::now();
    stage.remove(&["site"]).context(contestant.title)?;
    if let Some(times) = times {
        times.start.push(start);
        times.stop.push(begin.elapsed().as_secs_f64());
    }
    Ok(())
}

fn print(
    contestants: &[Contestant],
    rows: Vec<Times>,
    cold: Times,
    compile: f64,
    rounds: usize,
) -> Result<()> {
    let medians = |times: Times| [times.start, times.stop, times.exit].map(median);
    let ours = medians(rows.first().context("a contestant")?.clone());
    let row = |title: &str, times: [f64; 3]| {
        let cells = times.iter().zip(ours).map(|(time, ours)| match time.is_nan() {
            true => "–".to_owned(),
            false => format!("{:.0} ({:.2}×)", time * 1e3, time / ours),
        });
        println!("| {title} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    println!(
        "| milliseconds, median of {rounds} | start to first 200 | stop to removed | `true`, start to exit |"
    );
    println!("|---|---|---|---|");
    let cold = medians(cold);
    for (contestant, times) in contestants.iter().zip(rows) {
        if contestant.compiles == Compiles::Once {
            row(contestant.title, medians(times));
            row(&format!("{}, a site that the node has never seen", contestant.title), cold);
            row("a process that only compiles the module", [compile, f64::NAN, f64::NAN]);
        } else {
            row(contestant.title, medians(times));
        }
    }
    println!(
        "\nThe first start of a site on a node takes {:.2} times as long as a later one. Compiling its module, which a site of \
         another release needs, takes {:.1} times as long as a start.",
        cold[0] / ours[0],
        compile / ours[0]
    );
    Ok(())
}
