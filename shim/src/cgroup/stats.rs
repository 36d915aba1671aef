//! A container's counters and limits in the form that `ctr task metrics`, `docker stats`
//! and kubelet read: one message type for cgroup v1, another for v2.

use std::path::PathBuf;

use anyhow::{Context, Result};
use containerd_shim::cgroup::{collect_metrics_v2, get_cgroup};
use containerd_shim::protos::cgroups::metrics::{
    CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim::protos::protobuf::well_known_types::any::Any;

use super::paths::{Controllers, keyed, number};
use crate::any_message::{self, CGROUP_V1, CGROUP_V2};

/// The metrics of a process's cgroup.
pub fn of_process(pid: i32) -> Result<Any> {
    let controllers = Controllers::of_process(pid).context("the container's process has ended")?;
    if let Some(controllers) = ControllersV1::find(&controllers) {
        return Ok(any_message::pack(CGROUP_V1, &controllers.metrics())?);
    }
    let metrics = get_cgroup(pid.unsigned_abs()).and_then(|cgroup| collect_metrics_v2(&cgroup));
    Ok(any_message::pack(CGROUP_V2, &metrics.context("cannot read the container's counters")?)?)
}

/// The directories of cgroup v1 controllers.
struct ControllersV1 {
    cpu: PathBuf,
    cpuacct: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
}

impl ControllersV1 {
    /// `None` if there is only cgroup v2.
    fn find(controllers: &Controllers) -> Option<Self> {
        let cpuacct = controllers.v1("cpuacct")?;
        // The others may be disabled; their counters are then zero.
        let other = |name| controllers.v1(name).unwrap_or_default();
        Some(Self { cpu: other("cpu"), memory: other("memory"), pids: other("pids"), cpuacct })
    }

    fn metrics(&self) -> Metrics {
        let usage = CPUUsage {
            total: number(&self.cpuacct.join("cpuacct.usage")),
            user: number(&self.cpuacct.join("cpuacct.usage_user")),
            kernel: number(&self.cpuacct.join("cpuacct.usage_sys")),
            ..CPUUsage::default()
        };
        let throttling = Throttle {
            periods: keyed(&self.cpu.join("cpu.stat"), "nr_periods"),
            throttled_periods: keyed(&self.cpu.join("cpu.stat"), "nr_throttled"),
            throttled_time: keyed(&self.cpu.join("cpu.stat"), "throttled_time"),
            ..Throttle::default()
        };
        let cpu = CPUStat { usage: some(usage), throttling: some(throttling), ..CPUStat::default() };
        let pids = PidsStat {
            current: number(&self.pids.join("pids.current")),
            limit: number(&self.pids.join("pids.max")),
            ..PidsStat::default()
        };
        let oom = MemoryOomControl {
            oom_kill_disable: keyed(&self.memory.join("memory.oom_control"), "oom_kill_disable"),
            under_oom: keyed(&self.memory.join("memory.oom_control"), "under_oom"),
            oom_kill: keyed(&self.memory.join("memory.oom_control"), "oom_kill"),
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
        let stat = |key| keyed(&self.memory.join("memory.stat"), key);
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
