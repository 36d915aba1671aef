//! The times around a container's life.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::contestant::{Compiles, Contestant};
use crate::stage::Stage;
use crate::{Args, compile_time, median};

/// The times of one line of the table.
#[derive(Clone, Default)]
struct Times {
    start: Vec<f64>,
    stop: Vec<f64>,
    nothing: Vec<f64>,
}

/// Prints the table.
pub fn measure(stage: &Stage, contestants: &[Contestant], args: &Args) -> Result<()> {
    let mut lines = vec![Times::default(); contestants.len()];
    let (mut cold, mut compile) = (Times::default(), Vec::new());
    for round in 0..=args.rounds {
        // The first is for warming up.
        let counts = round > 0;
        let compiled = compile_time(args)?;
        if counts {
            compile.push(compiled);
        }
        for (contestant, times) in contestants.iter().zip(&mut lines) {
            if contestant.compiles == Compiles::Once {
                stage.empty_code_cache()?;
                cycle(stage, contestant, counts.then_some(&mut cold))?;
            }
            cycle(stage, contestant, counts.then_some(&mut *times))?;
            let nothing = stage.start_to_exit(contestant.runtime)?;
            if counts {
                times.nothing.push(nothing);
            }
        }
    }
    print(contestants, lines, cold, median(compile), args.rounds)
}

/// One start and stop.
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
    lines: Vec<Times>,
    cold: Times,
    compile: f64,
    rounds: usize,
) -> Result<()> {
    let medians = |times: Times| [times.start, times.stop, times.nothing].map(median);
    let ours = medians(lines.first().context("a contestant")?.clone());
    let row = |title: &str, times: [f64; 3]| {
        let cells = times.iter().zip(ours).map(|(time, ours)| match time.is_nan() {
            true => "–".to_owned(),
            false => format!("{:.0} ({:.2}×)", time * 1e3, time / ours),
        });
        println!("| {title} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    println!(
        "| milliseconds, median of {rounds} | start to first 200 | stop to gone | `true`, start to exit |"
    );
    println!("|---|---|---|---|");
    let cold = medians(cold);
    for (contestant, times) in contestants.iter().zip(lines) {
        if contestant.compiles == Compiles::Once {
            row(&format!("{}, compiled before", contestant.title), medians(times));
            row(&format!("{}, empty code cache", contestant.title), cold);
            row("a process that only compiles the module", [compile, f64::NAN, f64::NAN]);
        } else {
            row(contestant.title, medians(times));
        }
    }
    println!(
        "\nA start with an empty code cache takes {:.2} times as long as compiling alone.",
        cold[0] / compile
    );
    Ok(())
}
