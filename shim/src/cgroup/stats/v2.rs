//! The counters of cgroup v2.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use containerd_shim::cgroup::{collect_metrics_v2, get_cgroup};
use containerd_shim::protos::cgroups_v2::metrics::{
    HugeTlbStat, IOEntry, IOStat, Metrics, PSIData, PSIStats,
};

use super::{huge_pages, some};
use crate::cgroup::paths::{keyed, number};

/// Those of a process's cgroup, whose directory this is. The crate containerd-shim 0.12 reads
/// processor, memory and tasks.
pub fn metrics(pid: i32, directory: Option<&Path>) -> Result<Metrics> {
    let collected = get_cgroup(pid.unsigned_abs()).and_then(|cgroup| collect_metrics_v2(&cgroup));
    let mut metrics = collected.context("cannot read the container's counters")?;
    let Some(directory) = directory else { return Ok(metrics) };
    let pressure = |name: &str| {
        let text = fs::read_to_string(directory.join(name)).ok()?;
        Some(pressure(&text))
    };
    let usage = operations(&fs::read_to_string(directory.join("io.stat")).unwrap_or_default());
    metrics.io = some(IOStat { usage, psi: pressure("io.pressure").into(), ..IOStat::default() });
    if let Some(cpu) = metrics.cpu.as_mut() {
        cpu.psi = pressure("cpu.pressure").into();
    }
    if let Some(memory) = metrics.memory.as_mut() {
        memory.psi = pressure("memory.pressure").into();
    }
    metrics.hugetlb = huge_pages(directory);
    Ok(metrics)
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn operations(text: &str) -> Vec<IOEntry> {
    let entry = |line: &str| {
        let (device, counters) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let counter = |wanted: &str| {
            let mut found = counters.split(' ').filter_map(|counter| counter.split_once('='));
            let value = found.find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok());
            value.unwrap_or(0)
        };
        Some(IOEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            rbytes: counter("rbytes"),
            wbytes: counter("wbytes"),
            rios: counter("rios"),
            wios: counter("wios"),
            ..IOEntry::default()
        })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines such as `some avg10=0.00 avg60=0.15 avg300=0.08 total=1234`.
fn pressure(text: &str) -> PSIStats {
    let mut stats = PSIStats::default();
    for line in text.lines() {
        let Some((kind, values)) = line.split_once(' ') else { continue };
        let mut data = PSIData::default();
        for (name, value) in values.split(' ').filter_map(|value| value.split_once('=')) {
            match name {
                "avg10" => data.avg10 = value.parse().unwrap_or_default(),
                "avg60" => data.avg60 = value.parse().unwrap_or_default(),
                "avg300" => data.avg300 = value.parse().unwrap_or_default(),
                "total" => data.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        match kind {
            "some" => stats.some = some(data),
            "full" => stats.full = some(data),
            _ => {}
        }
    }
    stats
}

fn huge_pages(directory: &Path) -> Vec<HugeTlbStat> {
    let of_size = |size: String| {
        let file = |name: &str| directory.join(format!("hugetlb.{size}.{name}"));
        let limit = fs::read_to_string(file("max")).unwrap_or_default();
        let limit = limit.trim();
        HugeTlbStat {
            current: number(&file("current")),
            max: if limit == "max" { u64::MAX } else { limit.parse().unwrap_or(0) },
            failcnt: keyed(&file("events"), "max"),
            pagesize: size,
            ..HugeTlbStat::default()
        }
    };
    huge_pages::sizes(directory, ".current").into_iter().map(of_size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_operations_are_read_for_each_device() {
        let text = "8:0 rbytes=4096 wbytes=52428800 rios=1 wios=20 dbytes=0 dios=0\n259:1 \nnothing\n";
        let entries = operations(text);
        assert_eq!(entries.len(), 2);
        let first = &entries[0];
        assert_eq!(
            (first.major, first.rbytes, first.wbytes, first.rios, first.wios),
            (8, 4096, 52_428_800, 1, 20)
        );
        assert_eq!((entries[1].major, entries[1].minor, entries[1].wbytes), (259, 1, 0));
    }

    #[test]
    fn pressure_is_read_for_some_and_for_all_tasks() {
        let text = "some avg10=0.50 avg60=0.15 avg300=0.08 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let stats = pressure(text);
        assert!((stats.some.avg10 - 0.5).abs() < 1e-9);
        assert_eq!((stats.some.total, stats.full.total), (1234, 7));
        assert!(pressure("").some.is_none());
    }
}
