//! A container's counters and limits in the form that `ctr task metrics`, `docker stats`
//! and kubelet read: one message type for cgroup v1, another for v2. What runc's shim fills
//! in is filled in.

mod huge_pages;
mod v1;
mod v2;

use anyhow::{Context, Result};
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::any::Any;

use super::paths::Controllers;
use crate::any_message::{self, CGROUP_V1, CGROUP_V2};

/// The metrics of a process's cgroup.
pub fn of_process(pid: i32) -> Result<Any> {
    let controllers = Controllers::of_process(pid).context("the container's process has ended")?;
    Ok(match v1::ControllersV1::find(&controllers) {
        Some(controllers) => any_message::pack(CGROUP_V1, &controllers.metrics())?,
        None => any_message::pack(CGROUP_V2, &v2::metrics(pid, controllers.v2().as_deref())?)?,
    })
}

fn some<T>(message: T) -> MessageField<T> {
    MessageField::some(message)
}
