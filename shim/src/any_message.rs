//! `google.protobuf.Any` with a bare type name, as containerd writes and reads it.

use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{self, Message};

// Packages of message types.
pub const EVENTS: &str = "containerd.events";
pub const RUNC: &str = "containerd.runc.v1";
pub const CGROUP_V1: &str = "io.containerd.cgroups.v1";
pub const CGROUP_V2: &str = "io.containerd.cgroups.v2";

/// Packs a message whose type is in this package. (containerd-shim's `convert_to_any` gets
/// the name by reflection, whose tables then stay in memory: half a megabyte per shim.)
pub fn pack<M: Message>(package: &str, message: &M) -> protobuf::Result<Any> {
    let type_url = format!("{package}.{}", M::NAME);
    Ok(Any { type_url, value: message.write_to_bytes()?, ..Any::default() })
}

#[cfg(test)]
mod tests {
    use containerd_shim::protos::protobuf::MessageFull;
    use containerd_shim::protos::shim::oci::ProcessDetails;
    use containerd_shim::protos::{cgroups, cgroups_v2, events};
    use containerd_shim::util::convert_to_any;

    use super::*;

    fn assert_packed<M: MessageFull>(package: &str) {
        assert_eq!(pack(package, &M::new()).unwrap(), convert_to_any(Box::new(M::new())).unwrap());
    }

    #[test]
    fn messages_have_the_names_that_containerd_knows() {
        assert_packed::<events::task::TaskExit>(EVENTS);
        assert_packed::<ProcessDetails>(RUNC);
        assert_packed::<cgroups::metrics::Metrics>(CGROUP_V1);
        assert_packed::<cgroups_v2::metrics::Metrics>(CGROUP_V2);
    }
}
