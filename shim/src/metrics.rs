//! A container's counters and limits, as containerd's clients read them
//! (`ctr task metrics`, `docker stats`, kubelet): one message type for cgroup v1,
//! another for v2.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use containerd_shim::cgroup::{collect_metrics_v2, get_cgroup};
use containerd_shim::protos::cgroups::metrics::{
    CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::util::convert_to_any;

/// The metrics of the cgroup that the process is in.
pub fn of_process(pid: i32) -> Result<Any> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .context("the container's process has ended: there is nothing to measure")?;
    let any = match ControllersV1::find(&cgroups) {
        Some(controllers) => convert_to_any(Box::new(controllers.metrics())),
        None => get_cgroup(pid.unsigned_abs())
            .and_then(|cgroup| collect_metrics_v2(&cgroup))
            .and_then(|metrics| convert_to_any(Box::new(metrics))),
    };
    any.context("cannot read the container's counters")
}

/// The directories of cgroup v1's controllers, each in a hierarchy of its own.
struct ControllersV1 {
    cpu: PathBuf,
    cpuacct: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
}

impl ControllersV1 {
    /// `None` where there is only cgroup v2.
    fn find(cgroups: &str) -> Option<Self> {
        let find = |wanted: &str| {
            cgroups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                let found = controllers.split(',').any(|name| name == wanted);
                let path = path.trim_start_matches('/');
                found.then(|| Path::new("/sys/fs/cgroup").join(wanted).join(path))
            })
        };
        let cpuacct = find("cpuacct")?;
        // Any of the others may be switched off; their counters are zero then.
        let other = |name| find(name).unwrap_or_default();
        Some(Self { cpu: other("cpu"), memory: other("memory"), pids: other("pids"), cpuacct })
    }

    fn metrics(&self) -> Metrics {
        let usage = CPUUsage {
            total: number(&self.cpuacct, "cpuacct.usage"),
            user: number(&self.cpuacct, "cpuacct.usage_user"),
            kernel: number(&self.cpuacct, "cpuacct.usage_sys"),
            ..CPUUsage::default()
        };
        let throttling = Throttle {
            periods: keyed(&self.cpu, "cpu.stat", "nr_periods"),
            throttled_periods: keyed(&self.cpu, "cpu.stat", "nr_throttled"),
            throttled_time: keyed(&self.cpu, "cpu.stat", "throttled_time"),
            ..Throttle::default()
        };
        let cpu = CPUStat { usage: some(usage), throttling: some(throttling), ..CPUStat::default() };
        let pids = PidsStat {
            current: number(&self.pids, "pids.current"),
            limit: number(&self.pids, "pids.max"),
            ..PidsStat::default()
        };
        let oom = MemoryOomControl {
            oom_kill_disable: keyed(&self.memory, "memory.oom_control", "oom_kill_disable"),
            under_oom: keyed(&self.memory, "memory.oom_control", "under_oom"),
            oom_kill: keyed(&self.memory, "memory.oom_control", "oom_kill"),
            ..MemoryOomControl::default()
        };
        Metrics {
            cpu: some(cpu),
            memory: some(self.memory()),
            memory_oom_control: some(oom),
            pids: some(pids),
            ..Metrics::default()
        }
    }

    fn memory(&self) -> MemoryStat {
        let stat = |key| keyed(&self.memory, "memory.stat", key);
        let entry = |prefix: &str| {
            some(MemoryEntry {
                usage: number(&self.memory, &format!("{prefix}.usage_in_bytes")),
                limit: number(&self.memory, &format!("{prefix}.limit_in_bytes")),
                max: number(&self.memory, &format!("{prefix}.max_usage_in_bytes")),
                failcnt: number(&self.memory, &format!("{prefix}.failcnt")),
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
}

fn some<T>(message: T) -> containerd_shim::protos::protobuf::MessageField<T> {
    containerd_shim::protos::protobuf::MessageField::some(message)
}

/// A file's only number; 0 where there is none, or it is `max`.
fn number(directory: &Path, file: &str) -> u64 {
    let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The number behind a key, in a file of keys and numbers; 0 where there is none.
fn keyed(directory: &Path, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_found_also_where_two_share_a_hierarchy() {
        let found = ControllersV1::find("3:cpu,cpuacct:/a/b\n2:memory:/a/b\n0::/\n").unwrap();
        assert_eq!(found.cpuacct, Path::new("/sys/fs/cgroup/cpuacct/a/b"));
        assert_eq!(found.memory, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert!(ControllersV1::find("0::/a\n").is_none());
    }
}
