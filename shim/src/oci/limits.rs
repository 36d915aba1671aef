//! Limits of a container that runs our own binary.

use anyhow::{Result, bail};
use libcontainer::oci_spec::runtime::LinuxResources;
use serde::Serialize;
use serde_json::Value;

/// Fewest tasks (threads and processes) that a container needs: a server with some renders
/// at a time, and a health check beside it.
pub const MIN_TASKS: i64 = 16;

/// Refuses a limit that a site could not live with.
pub fn check(resources: &LinuxResources) -> Result<()> {
    match resources.pids().as_ref().map(|pids| pids.limit()) {
        Some(limit) if (1..MIN_TASKS).contains(&limit) => bail!(
            "the container's limit of {limit} processes and threads is too low: a site needs at least {MIN_TASKS} \
             (docker run --pids-limit {MIN_TASKS})"
        ),
        _ => Ok(()),
    }
}

/// Removes limits without a value, such as the empty `blockIO` that Docker always sends:
/// libcgroups 0.7 demands a controller for each, and kernels of small boards lack some.
pub fn drop_empty(resources: &mut LinuxResources) {
    if !has_value(resources.block_io()) {
        resources.set_block_io(None);
    }
    if !has_value(resources.memory()) {
        resources.set_memory(None);
    }
    if !has_value(resources.network()) {
        resources.set_network(None);
    }
    if resources.pids().as_ref().is_some_and(|pids| pids.limit() == 0) {
        resources.set_pids(None);
    }
}

/// Removes those that a new cgroup has anyway, too: a negative limit is none.
pub fn drop_defaults(resources: &mut LinuxResources) {
    drop_empty(resources);
    if resources.pids().as_ref().is_some_and(|pids| pids.limit() < 0) {
        resources.set_pids(None);
    }
}

/// Whether any field says something: lists that are empty and switches that are off do not.
fn has_value(limits: &impl Serialize) -> bool {
    match serde_json::to_value(limits) {
        Ok(Value::Object(fields)) => fields.values().any(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            _ => true,
        }),
        Ok(other) => !other.is_null(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_empty(text: &str) -> LinuxResources {
        let mut resources = serde_json::from_str(text).unwrap();
        drop_empty(&mut resources);
        resources
    }

    #[test]
    fn limits_without_a_value_need_no_controller() {
        let empty = without_empty(
            r#"{"blockIO":{"weightDevice":[]},"memory":{"disableOOMKiller":false},"network":{},"pids":{"limit":0}}"#,
        );
        assert!(empty.block_io().is_none() && empty.memory().is_none());
        assert!(empty.network().is_none() && empty.pids().is_none());
    }

    #[test]
    fn no_limit_of_tasks_can_be_asked_for_later_and_is_the_default_before() {
        let mut unlimited = without_empty(r#"{"pids":{"limit":-1}}"#);
        assert!(unlimited.pids().is_some());
        drop_defaults(&mut unlimited);
        assert!(unlimited.pids().is_none());
    }

    #[test]
    fn limits_with_a_value_stay() {
        let set = without_empty(
            r#"{"blockIO":{"weight":10},"memory":{"swappiness":0},"network":{"classID":1},"pids":{"limit":20}}"#,
        );
        assert!(set.block_io().is_some() && set.memory().is_some());
        assert!(set.network().is_some() && set.pids().is_some());
    }
}
