//! What OCI and containerd say about a container: its bundle's configuration, the
//! runtime's options, its entrypoint and its image.

pub mod entrypoint;
pub mod options;
pub mod spec;
pub mod wasm_layer;
