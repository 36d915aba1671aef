//! Random faults while containers come and go and sites are asked for pages. After each,
//! everything is removed through containerd's API: nothing may be left, and every status
//! must have been right. `make soak` runs it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ssr_e2e::faults::{Report, Soak};
use ssr_e2e::under_test;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

#[test]
#[ignore = "takes about an hour: make soak"]
fn random_faults_leave_nothing_behind_and_every_status_is_right() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("SSR_SOAK_SEED").unwrap_or_else(now);
    let first = number("SSR_SOAK_FIRST").unwrap_or(1);
    let rounds = number("SSR_SOAK_ROUNDS").unwrap_or(1000);
    let limit = number("SSR_SOAK_MINUTES").map(|minutes| Duration::from_secs(minutes * 60));
    println!("{}: {rounds} rounds from {first}, SSR_SOAK_SEED={seed}", under_test::runtime());
    let started = Instant::now();
    let (mut soak, mut report) = (Soak::start(seed), Report::default());
    for round in first..first + rounds {
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            println!("the time is over before round {round}");
            break;
        }
        soak.round(round, &mut report);
        if round % 50 == 0 {
            println!("{}", report.table());
        }
    }
    soak.end(&mut report);
    println!("{}, seed {seed}\n{}", under_test::runtime(), report.table());
    assert_eq!(report.failed(), 0, "rounds have failed: seed {seed}");
}
