//! The counters of cgroup v1.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use containerd_shim::protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, HugetlbStat, MemoryEntry, MemoryOomControl, MemoryStat,
    Metrics, PidsStat, Throttle,
};

use super::{huge_pages, some};
use crate::cgroup::paths::{Controllers, keyed_in, number};

/// The directories of cgroup v1 controllers.
pub struct ControllersV1 {
    cpu: PathBuf,
    cpuacct: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
    blkio: PathBuf,
    hugetlb: PathBuf,
}

impl ControllersV1 {
    /// `None` if there is only cgroup v2.
    pub fn find(controllers: &Controllers) -> Option<Self> {
        let cpuacct = controllers.v1("cpuacct")?;
        // The others may be disabled; their counters are then zero.
        let other = |name| controllers.v1(name).unwrap_or_default();
        Some(Self {
            cpu: other("cpu"),
            memory: other("memory"),
            pids: other("pids"),
            blkio: other("blkio"),
            hugetlb: other("hugetlb"),
            cpuacct,
        })
    }

    pub fn metrics(&self) -> Metrics {
        let usage = CPUUsage {
            total: number(&self.cpuacct.join("cpuacct.usage")),
            user: number(&self.cpuacct.join("cpuacct.usage_user")),
            kernel: number(&self.cpuacct.join("cpuacct.usage_sys")),
            per_cpu: numbers(&self.cpuacct.join("cpuacct.usage_percpu")),
            ..CPUUsage::default()
        };
        let cpu_stat = text(&self.cpu.join("cpu.stat"));
        let throttling = Throttle {
            periods: keyed_in(&cpu_stat, "nr_periods"),
            throttled_periods: keyed_in(&cpu_stat, "nr_throttled"),
            throttled_time: keyed_in(&cpu_stat, "throttled_time"),
            ..Throttle::default()
        };
        let cpu = CPUStat { usage: some(usage), throttling: some(throttling), ..CPUStat::default() };
        let pids = PidsStat {
            current: number(&self.pids.join("pids.current")),
            limit: number(&self.pids.join("pids.max")),
            ..PidsStat::default()
        };
        let oom_control = text(&self.memory.join("memory.oom_control"));
        let oom = MemoryOomControl {
            oom_kill_disable: keyed_in(&oom_control, "oom_kill_disable"),
            under_oom: keyed_in(&oom_control, "under_oom"),
            oom_kill: keyed_in(&oom_control, "oom_kill"),
            ..MemoryOomControl::default()
        };
        Metrics {
            cpu: some(cpu),
            memory: some(self.memory()),
            memory_oom_control: some(oom),
            pids: some(pids),
            blkio: some(self.blkio()),
            hugetlb: self.huge_pages(),
            ..Metrics::default()
        }
    }

    fn memory(&self) -> MemoryStat {
        let memory_stat = text(&self.memory.join("memory.stat"));
        let stat = |key| keyed_in(&memory_stat, key);
        let entry = |prefix: &str| {
            some(MemoryEntry {
                usage: number(&self.memory.join(format!("{prefix}.usage_in_bytes"))),
                limit: number(&self.memory.join(format!("{prefix}.limit_in_bytes"))),
                max: number(&self.memory.join(format!("{prefix}.max_usage_in_bytes"))),
                failcnt: number(&self.memory.join(format!("{prefix}.failcnt"))),
                ..MemoryEntry::default()
            })
        };
        MemoryStat {
            usage: entry("memory"),
            swap: entry("memory.memsw"),
            kernel: entry("memory.kmem"),
            kernel_tcp: entry("memory.kmem.tcp"),
            cache: stat("cache"),
            rss: stat("rss"),
            rss_huge: stat("rss_huge"),
            dirty: stat("dirty"),
            writeback: stat("writeback"),
            pg_pg_in: stat("pgpgin"),
            pg_pg_out: stat("pgpgout"),
            hierarchical_swap_limit: stat("hierarchical_memsw_limit"),
            total_rss_huge: stat("total_rss_huge"),
            total_dirty: stat("total_dirty"),
            total_writeback: stat("total_writeback"),
            total_pg_pg_in: stat("total_pgpgin"),
            total_pg_pg_out: stat("total_pgpgout"),
            mapped_file: stat("mapped_file"),
            pg_fault: stat("pgfault"),
            pg_maj_fault: stat("pgmajfault"),
            inactive_anon: stat("inactive_anon"),
            active_anon: stat("active_anon"),
            inactive_file: stat("inactive_file"),
            active_file: stat("active_file"),
            unevictable: stat("unevictable"),
            hierarchical_memory_limit: stat("hierarchical_memory_limit"),
            total_cache: stat("total_cache"),
            total_rss: stat("total_rss"),
            total_mapped_file: stat("total_mapped_file"),
            total_pg_fault: stat("total_pgfault"),
            total_pg_maj_fault: stat("total_pgmajfault"),
            total_inactive_anon: stat("total_inactive_anon"),
            total_active_anon: stat("total_active_anon"),
            total_inactive_file: stat("total_inactive_file"),
            total_active_file: stat("total_active_file"),
            total_unevictable: stat("total_unevictable"),
            ..MemoryStat::default()
        }
    }

    /// What it has read and written. Which files have it depends on the kernel and on the
    /// disk's scheduler; those of other schedulers exist and are empty.
    fn blkio(&self) -> BlkIOStat {
        let names = device_names(&text(Path::new("/proc/partitions")));
        let entries = |counter: &str| {
            let files = [
                format!("blkio.bfq.{counter}_recursive"),
                format!("blkio.{counter}_recursive"),
                format!("blkio.throttle.{counter}_recursive"),
                format!("blkio.throttle.{counter}"),
            ];
            let read = |file: String| fs::read_to_string(self.blkio.join(file)).ok();
            let parsed = files.into_iter().filter_map(read).map(|text| operations(&text, &names));
            parsed.into_iter().find(|entries| !entries.is_empty()).unwrap_or_default()
        };
        BlkIOStat {
            io_service_bytes_recursive: entries("io_service_bytes"),
            io_serviced_recursive: entries("io_serviced"),
            io_queued_recursive: entries("io_queued"),
            io_service_time_recursive: entries("io_service_time"),
            io_wait_time_recursive: entries("io_wait_time"),
            io_merged_recursive: entries("io_merged"),
            io_time_recursive: entries("time"),
            sectors_recursive: entries("sectors"),
            ..BlkIOStat::default()
        }
    }

    fn huge_pages(&self) -> Vec<HugetlbStat> {
        let of_size = |size: String| {
            let file = |name: &str| number(&self.hugetlb.join(format!("hugetlb.{size}.{name}")));
            HugetlbStat {
                usage: file("usage_in_bytes"),
                max: file("max_usage_in_bytes"),
                failcnt: file("failcnt"),
                pagesize: size,
                ..HugetlbStat::default()
            }
        };
        huge_pages::sizes(&self.hugetlb, ".usage_in_bytes").into_iter().map(of_size).collect()
    }
}

/// What is in a file; nothing if there is none.
fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The numbers in a file.
fn numbers(file: &Path) -> Vec<u64> {
    text(file).split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The names of block devices in `/proc/partitions`, by their numbers.
fn device_names(partitions: &str) -> HashMap<(u64, u64), String> {
    let device = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [major, minor, _, name] = fields[..] else { return None };
        Some(((major.parse().ok()?, minor.parse().ok()?), format!("/dev/{name}")))
    };
    partitions.lines().filter_map(device).collect()
}

/// Lines such as `8:0 Read 4096` or `8:0 4096`; the sum at the end is left out.
fn operations(text: &str, names: &HashMap<(u64, u64), String>) -> Vec<BlkIOEntry> {
    let entry = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (device, operation, value) = match fields[..] {
            [device, operation, value] => (device, operation, value),
            [device, value] => (device, "", value),
            _ => return None,
        };
        let (major, minor) = device.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(BlkIOEntry {
            op: operation.to_owned(),
            device: names.get(&(major, minor)).cloned().unwrap_or_default(),
            major,
            minor,
            value: value.parse().ok()?,
            ..BlkIOEntry::default()
        })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn of(blkio: &Path) -> BlkIOStat {
        let none = PathBuf::new;
        let [cpu, cpuacct, memory, pids, hugetlb] = [none(), none(), none(), none(), none()];
        ControllersV1 { cpu, cpuacct, memory, pids, blkio: blkio.to_owned(), hugetlb }.blkio()
    }

    #[test]
    fn disk_operations_come_from_the_file_that_has_any() {
        let throttled = "254:0 Read 4096\n254:0 Write 52428800\n254:0 Total 52432896\nTotal 52432896\n";
        let files = [
            ("blkio.bfq.io_service_bytes_recursive", "Total 0\n"),
            ("blkio.throttle.io_service_bytes_recursive", throttled),
            ("blkio.throttle.io_serviced", "254:0 Read 1\n254:0 Write 20\nTotal 21\n"),
        ];
        let stat = of(directory(&files).path());
        let bytes: Vec<_> =
            stat.io_service_bytes_recursive.iter().map(|entry| (entry.op.as_str(), entry.value)).collect();
        assert_eq!(bytes, [("Read", 4096), ("Write", 52_428_800), ("Total", 52_432_896)]);
        assert_eq!(stat.io_serviced_recursive.len(), 2);
        assert!(stat.io_queued_recursive.is_empty());
        let stat = of(directory(&[("blkio.time_recursive", "8:16 7\n")]).path());
        let entry = &stat.io_time_recursive[0];
        assert_eq!((entry.major, entry.minor, entry.value, entry.op.as_str()), (8, 16, 7, ""));
    }

    #[test]
    fn devices_have_their_names() {
        let names = device_names("major minor  #blocks  name\n\n 254        0   264241152 vda\n");
        assert_eq!(operations("254:0 Read 1\n9:9 Read 2\n", &names)[0].device, "/dev/vda");
        assert_eq!(operations("9:9 Read 2\n", &names)[0].device, "");
    }
}
