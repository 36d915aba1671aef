//! Many different sites, and as many containers of one site, started at the same time on a node
//! that has run none of them.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::at_once;
use crate::lineup::sites::Site;
use crate::stage::{self, Stage};

/// Pages of each site before its memory is measured. More of them change nothing.
const REQUESTS: usize = 100;

/// Then each is asked for a page once in this time, and so many times.
const PERIOD: Duration = Duration::from_secs(1);
const PERIODS: usize = 5;

/// After this long without a request a site has given back the memory of its renders.
const REST: Duration = Duration::from_secs(2);

/// What is found of all containers.
struct Found {
    /// Seconds until all have answered.
    seconds: f64,
    processes: usize,
    /// The memory of all processes, in MB.
    memory: f64,
    memory_in_use: f64,
    memory_rested: f64,
    memory_idle: f64,
    /// What the code cache takes on disk, in MB.
    cache: f64,
}

/// Prints the table: as many containers of `one` as there are others.
pub fn measure(stage: &Stage, one: &Site, others: &[Site]) -> Result<()> {
    println!(
        "\n| many sites, all started at once, empty code cache | containers | until the last answers, s | MB of PSS after {REQUESTS} pages each without a pause, total | each | asked once in {} s, total | each | total {} s later | each | total {} s later | each | processes | code cache on disk, MB | each |",
        PERIOD.as_secs(),
        REST.as_secs(),
        (REST + stage::IDLE).as_secs()
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    row(stage, "different sites", &others.iter().collect::<Vec<_>>())?;
    row(stage, "one site", &vec![one; others.len()])
}

fn row(stage: &Stage, title: &str, sites: &[&Site]) -> Result<()> {
    let Found { seconds, processes, memory, memory_in_use, memory_rested, memory_idle, cache } =
        find(stage, sites).context(title.to_owned())?;
    let each = |total: f64| total / sites.len() as f64;
    println!(
        "| {title} | {} | {seconds:.1} | {memory:.0} | {:.2} | {memory_in_use:.0} | {:.2} | {memory_rested:.0} | {:.2} | {memory_idle:.0} | {:.2} | {processes} | {cache:.1} | {:.2} |",
        sites.len(),
        each(memory),
        each(memory_in_use),
        each(memory_rested),
        each(memory_idle),
        each(cache)
    );
    Ok(())
}

fn find(stage: &Stage, sites: &[&Site]) -> Result<Found> {
    stage.empty_code_cache()?;
    let ids: Vec<_> = (1..=sites.len()).map(|number| format!("site-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let contestants: Vec<_> = sites.iter().map(|site| &site.contestant).collect();
    let engine = stage.running();
    let (seconds, ports) = at_once::start(stage, &contestants, &ids)?;
    // Before memory is measured, and again after it was given back: nobody may have got the
    // memory of another site.
    let expect_own_pages =
        || sites.iter().zip(&ports).try_for_each(|(site, port)| stage.expect_in_pages(*port, &site.name));
    expect_own_pages()?;
    stage.request_in_turn(&ports, REQUESTS)?;
    let processes = stage.memory_besides(&engine);
    stage.request_in_periods(&ports, PERIOD, PERIODS)?;
    let memory_in_use = stage.memory_besides(&engine).iter().sum();
    let cache = stage.code_cache_on_disk()?;
    sleep(REST);
    let memory_rested = stage.memory_besides(&engine).iter().sum();
    stage.idle();
    let memory_idle = stage.memory_besides(&engine).iter().sum();
    expect_own_pages()?;
    stage.remove(&ids)?;
    let (count, memory) = (processes.len(), processes.iter().sum());
    Ok(Found { seconds, processes: count, memory, memory_in_use, memory_rested, memory_idle, cache })
}
